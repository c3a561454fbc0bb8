import { base64, concatBytes, fromBase64, utf8 } from "../bytes.ts";
import type { Ports } from "../ports/ports.ts";
import type { CheckWebhook } from "./producer-groups.ts";

/** A secret as Standard Webhooks writes it. */
export function shownSecret(secret: string): string {
  return `whsec_${secret}`;
}

/**
 * The headers of Standard Webhooks (https://www.standardwebhooks.com): the id of what is sent, the same in each attempt; when
 * it is sent (s); and a signature of both and the body by each secret that is valid.
 */
export function signedHeaders(
  io: Ports,
  { secret, old }: CheckWebhook,
  id: string,
  body: Uint8Array,
): Record<string, string> {
  const now = io.clock.now();
  const timestamp = String(Math.floor(now / 1_000));
  const signed = concatBytes([utf8(`${id}.${timestamp}.`), body]);
  const secrets = old !== undefined && now < old.until ? [secret, old.secret] : [secret];
  const signatures = secrets.map(
    (each) => `v1,${base64(io.webhooks.hmacSha256(fromBase64(each), signed))}`,
  );
  return {
    "content-type": "application/json",
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "webhook-signature": signatures.join(" "),
  };
}
