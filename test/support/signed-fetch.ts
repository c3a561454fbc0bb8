import { createHash, createHmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import type { Fetch } from "./http-client.ts";

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** Whom the emulator lets do everything. */
export const rootCredentials: Credentials = { accessKeyId: "test", secretAccessKey: "test" };

/** `fetch` for who has to sign: every request as AWS demands it (Signature Version 4). */
export function signedFetch(
  credentials: Credentials,
  {
    service,
    region = "us-east-1",
  }: { readonly service: "execute-api" | "lambda" | "iam"; readonly region?: string },
): Fetch {
  const signer = new SignatureV4({ service, region, credentials, sha256: Sha256 });
  return async (address, request) => {
    const url = new URL(address);
    const signed = await signer.sign({
      method: request.method,
      protocol: url.protocol,
      hostname: url.hostname,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: { ...request.headers, host: url.host },
      body: request.body,
    });
    const { host: _, ...headers } = signed.headers;
    return fetch(url, { ...request, headers });
  };
}

/** The signer's idea of a hash. */
export class Sha256 {
  readonly #hash;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash =
      secret === undefined ? createHash("sha256") : createHmac("sha256", secret as string);
  }

  update(chunk: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(chunk as string);
  }

  reset(): void {}

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
}
