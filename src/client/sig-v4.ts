import { AwsV4Signer } from "aws4fetch";
import type { Authorize } from "./http.ts";

export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface SigV4Options {
  /** `execute-api` behind an API gateway, `lambda` behind a function URL. */
  readonly service: "execute-api" | "lambda";
  readonly region: string;
  /** Asked for each request, so that whoever makes them can renew them; keep them yourself until they expire. */
  readonly credentials: () => AwsCredentials | Promise<AwsCredentials>;
}

/** Signs every request as AWS demands it (Signature Version 4): the `authorize` of a client. Needs the package aws4fetch. */
export function sigV4({ service, region, credentials }: SigV4Options): Authorize {
  return async ({ method, url, headers, body }) => {
    const signer = new AwsV4Signer({
      ...(await credentials()),
      method,
      url,
      headers,
      ...(body === undefined ? {} : { body: body as string | Uint8Array<ArrayBuffer> }),
      service,
      region,
    });
    const signed = await signer.sign();
    return Object.fromEntries(signed.headers);
  };
}
