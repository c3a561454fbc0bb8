import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createHttpApi, type HttpApiOptions, type HttpResponse, refuseEarly } from "../api/http.ts";
import type { HasPorts } from "../api/operation.ts";
import { BrokerError } from "../broker/errors.ts";
import { limits } from "../broker/limits.ts";
import type { RequestBroker } from "../broker/request-broker.ts";
import { isLoopback } from "./settings.ts";

export interface ServerOptions<B extends HasPorts = RequestBroker> extends HttpApiOptions<B> {
  readonly host: string;
  readonly port: number;
  readonly allowedHosts: readonly string[];
  readonly corsOrigin: string | undefined;
  /** Called when it closes: answers those who wait. */
  readonly endWaits?: () => void;
}

export interface RunningServer {
  readonly url: string;
  /** Takes no new request, finishes those in flight, answers long polls. */
  close(): Promise<void>;
}

/** What a web page may see of an answer besides its body. */
const exposedHeaders =
  "x-request-id, x-broker-time, x-tasso-units, x-tasso-next-offset, x-tasso-min-offset, x-tasso-max-offset";

/** How long a shutdown waits for requests in flight before it cuts them off (ms). */
const patienceMs = 15_000;

/** Serves the operations over HTTP/1.1. Rejects where the port is taken. */
export async function startServer<B extends HasPorts>(
  options: ServerOptions<B>,
): Promise<RunningServer> {
  const { corsOrigin, broker, host } = options;
  const api = createHttpApi(options);
  const server = createServer((request, response) => {
    void serve(request, response).catch(() => response.destroy());
  });
  // A slow client may take its time with a body as large as the limit.
  server.requestTimeout = 120_000;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (corsOrigin !== undefined) {
      response.setHeader("access-control-allow-origin", corsOrigin);
      response.setHeader("access-control-expose-headers", exposedHeaders);
    }
    if (!server.listening) response.setHeader("connection", "close");
    if (corsOrigin !== undefined && request.method === "OPTIONS") return preflight(response);
    try {
      expectKnownHost(request.headers.host, options.allowedHosts);
      const body = await readBody(request);
      const [path = "/", query = ""] = splitUrl(request.url ?? "/");
      const answer = await api({
        method: request.method ?? "GET",
        path,
        query: new URLSearchParams(query),
        header: (name) => headerOf(request, name),
        body,
      });
      write(response, answer);
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      response.setHeader("connection", "close");
      write(response, refuseEarly(error, { broker, header: (name) => headerOf(request, name) }));
    }
  }

  await listen(server, options);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${port}`,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      options.endWaits?.();
      server.closeIdleConnections();
      const cutOff = setTimeout(() => server.closeAllConnections(), patienceMs);
      await closed;
      clearTimeout(cutOff);
    },
  };
}

function listen(
  server: Server,
  { host, port }: Pick<ServerOptions, "host" | "port">,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

/** A page in a browser can aim a name of its own at this machine; such a call names a host that is not ours. */
function expectKnownHost(header: string | undefined, allowed: readonly string[]): void {
  const host = header?.replace(/:\d+$/, "").toLowerCase();
  if (host !== undefined && (isLoopback(host) || allowed.includes(host))) return;
  throw new BrokerError(
    "misdirected",
    "this server is not called by that name; see --allowed-host",
    {
      field: "host",
      given: header,
      allowed: ["localhost", "127.0.0.1", "[::1]", ...allowed],
    },
  );
}

function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const { "content-length": length, "transfer-encoding": encoding } = request.headers;
  if (length === undefined && encoding === undefined) return Promise.resolve(noBody);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > limits.requestBytesMax) {
        request.pause();
        reject(
          new BrokerError(
            "batch_too_large",
            `a request has at most ${limits.requestBytesMax} bytes`,
            {
              field: "body",
              limit: limits.requestBytesMax,
              actual: Number(request.headers["content-length"] ?? bytes),
            },
          ),
        );
      } else chunks.push(chunk);
    });
    request.on("end", () =>
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)),
    );
    request.on("error", reject);
  });
}

const noBody = new Uint8Array(0);

function splitUrl(url: string): [string, string] {
  const mark = url.indexOf("?");
  return mark < 0 ? [url, ""] : [url.slice(0, mark), url.slice(mark + 1)];
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(", ") : value;
}

function write(response: ServerResponse, { status, headers, body }: HttpResponse): void {
  if (status !== 204) headers["content-length"] = String(lengthOf(body));
  response.writeHead(status, headers);
  if (typeof body === "string" || body === undefined) response.end(body);
  else {
    // All parts leave in one system call.
    response.cork();
    for (const part of body) response.write(part);
    response.end();
  }
}

function lengthOf(body: HttpResponse["body"]): number {
  if (body === undefined) return 0;
  if (typeof body === "string") return Buffer.byteLength(body);
  return body.reduce((sum, part) => sum + part.length, 0);
}

function preflight(response: ServerResponse): void {
  response.writeHead(204, {
    "access-control-allow-methods": "GET, PUT, POST, PATCH, DELETE",
    "access-control-allow-headers": "authorization, content-type, accept, x-request-id",
    "access-control-max-age": "600",
  });
  response.end();
}
