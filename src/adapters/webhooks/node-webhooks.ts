import { createHmac } from "node:crypto";
import { lookup } from "node:dns/promises";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { isIP, type LookupFunction } from "node:net";
import { urlToHttpOptions } from "node:url";
import { Unavailable } from "../../broker/ports/failures.ts";
import type { WebhookAnswer, Webhooks } from "../../broker/ports/webhooks.ts";
import {
  type AllowedTargets,
  addressesToCall,
  allowedTargets,
  hostToCall,
  type JudgedAddress,
} from "./webhook-policy.ts";

export interface NodeWebhooksOptions {
  /** Hosts, addresses and networks that may be called although they are not public. */
  readonly allow?: readonly string[];
  /** Certificates that are trusted instead of those that Node trusts (PEM). */
  readonly ca?: string;
  /** Stands in for the resolver of this machine: the addresses of a name. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

const field = "checkUrl";

/** Calls over TLS, each on a connection of its own, to an address that was judged. */
export class NodeWebhooks implements Webhooks {
  readonly #allowed: AllowedTargets;
  readonly #ca: string | undefined;
  readonly #resolve: (host: string) => Promise<readonly string[]>;

  constructor({ allow = [], ca, resolve = addressesOf }: NodeWebhooksOptions = {}) {
    this.#allowed = allowedTargets(allow);
    this.#ca = ca;
    this.#resolve = resolve;
  }

  async expectAllowed(url: string, named: string): Promise<void> {
    hostToCall(url, this.#allowed, named);
  }

  hmacSha256(key: Uint8Array, bytes: Uint8Array): Uint8Array {
    return createHmac("sha256", key).update(bytes).digest();
  }

  async post(
    url: string,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array,
    { timeoutMs, answerBytesMax }: { readonly timeoutMs: number; readonly answerBytesMax: number },
  ): Promise<WebhookAnswer> {
    const host = hostToCall(url, this.#allowed, field);
    const late = new AbortController();
    // One limit for all of it: the resolver, the connection, and an answer that drips.
    const timer = setTimeout(() => late.abort(new Error("it took too long")), timeoutMs);
    try {
      const addresses = isIP(host) ? [host] : await orAborted(this.#resolve(host), late.signal);
      const judged = addressesToCall(host, addresses, this.#allowed, field);
      return await this.#send(new URL(url), judged, headers, body, late.signal, answerBytesMax);
    } finally {
      clearTimeout(timer);
    }
  }

  #send(
    url: URL,
    judged: readonly JudgedAddress[],
    headers: Readonly<Record<string, string>>,
    body: Uint8Array,
    signal: AbortSignal,
    answerBytesMax: number,
  ): Promise<WebhookAnswer> {
    // The name stays in the certificate that is asked for and in the Host header; where it leads is settled.
    const pinned: LookupFunction = (_host, { all }, found) => {
      const [{ address, family }] = judged as [JudgedAddress];
      if (all) found(null, [...judged]);
      else found(null, address, family);
    };
    const length = { "content-length": String(body.length) };
    return new Promise((resolve, reject) => {
      const fail = (cause: unknown) =>
        reject(new Unavailable(`no answer: ${(cause as Error).message}`, { cause }));
      const options = {
        ...urlToHttpOptions(url),
        method: "POST",
        headers: { ...headers, ...length },
        // A connection that is kept might lead to what was judged another time.
        agent: false,
        lookup: pinned,
        signal,
        ...(this.#ca === undefined ? {} : { ca: this.#ca }),
      };
      const sent = request(options, (response) => {
        read(response, answerBytesMax).then(resolve, fail);
      });
      sent.on("error", fail);
      sent.end(body);
    });
  }
}

async function read(response: IncomingMessage, bytesMax: number): Promise<WebhookAnswer> {
  const status = response.statusCode ?? 0;
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.length;
    // Leaving the loop destroys the connection.
    if (bytes > bytesMax) return { status, body: undefined };
    parts.push(part);
  }
  return { status, body: Buffer.concat(parts) };
}

async function addressesOf(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true, verbatim: true })).map(({ address }) => address);
}

async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } catch (cause) {
    throw new Unavailable(`the name was not resolved: ${(cause as Error).message}`, { cause });
  }
}
