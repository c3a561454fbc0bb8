import { SignatureV4 } from "@smithy/signature-v4";
import { Sha256 } from "../../src/adapters/aws/sha256.ts";
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
