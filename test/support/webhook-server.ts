import { readFileSync } from "node:fs";
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { fileURLToPath } from "node:url";

const pem = (name: string) =>
  fileURLToPath(new URL(`./certificates/webhook.${name}.pem`, import.meta.url));

/** Made by hand for hooks.example.com, localhost and 127.0.0.1, signed by itself: whoever calls has to trust it. */
export const webhookCertificateFile = pem("cert");
export const webhookCertificate = readFileSync(webhookCertificateFile, "utf8");

export interface ReceivedWebhook {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The name for which a certificate was asked. */
  readonly servername: string | undefined;
}

export interface WebhookServer {
  readonly port: number;
  readonly received: readonly ReceivedWebhook[];
  close(): Promise<void>;
}

/** A server over TLS on the loopback, that answers as a test says. */
export async function startWebhookServer(
  answer: (call: ReceivedWebhook, response: ServerResponse) => void,
): Promise<WebhookServer> {
  const received: ReceivedWebhook[] = [];
  const tls = { key: readFileSync(pem("key")), cert: webhookCertificate };
  const server = createServer(tls, async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const { servername } = request.socket as Socket & { servername?: string | false };
    const call = {
      path: request.url ?? "",
      headers: request.headers,
      body: Buffer.concat(parts),
      servername: servername || undefined,
    };
    received.push(call);
    answer(call, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    received,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A webhook's answer in full. */
export function answerJson(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}
