import { SignatureV4 } from "@smithy/signature-v4";
import type { Send } from "../../nameserver/registrar.ts";
import { Sha256 } from "./sha256.ts";

export interface Signature {
  readonly region: string;
  readonly credentials: {
    readonly accessKeyId: string;
    readonly secretAccessKey: string;
    readonly sessionToken?: string;
  };
}

/** `fetch` with AWS signatures (Signature Version 4), for name servers behind an HTTP API. */
export function signedSend({ region, credentials }: Signature): Send {
  const signer = new SignatureV4({ service: "execute-api", region, credentials, sha256: Sha256 });
  return async (address, request) => {
    const url = new URL(address);
    const { method, headers, body } = request;
    const signed = await signer.sign({
      method,
      protocol: url.protocol,
      hostname: url.hostname,
      path: url.pathname,
      headers: { ...headers, host: url.host },
      body,
    });
    const { host: _, ...rest } = signed.headers;
    return fetch(url, { ...request, headers: rest });
  };
}
