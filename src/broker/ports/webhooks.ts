/**
 * Calls of addresses that users of the broker name.
 *
 * Laws:
 *
 * 1. What is called is public, or was allowed by whoever runs the broker. Names are resolved once a call, and the connection
 *    goes to the address that was judged.
 * 2. Nothing is followed: a redirect is an answer like any other.
 * 3. A call ends after `timeoutMs` in all, whatever the other side does.
 */
export interface Webhooks {
  /** Rejects with `invalid` what may not be called as far as the text shows. Calls nobody. */
  expectAllowed(url: string, field: string): Promise<void>;
  /** Rejects with `Unavailable` where no whole answer came, and with `invalid` what may not be called. */
  post(
    url: string,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array,
    limits: { readonly timeoutMs: number; readonly answerBytesMax: number },
  ): Promise<WebhookAnswer>;
  /** HMAC-SHA256, which every platform brings along. */
  hmacSha256(key: Uint8Array, bytes: Uint8Array): Uint8Array;
}

export interface WebhookAnswer {
  readonly status: number;
  /** `undefined` where it was longer than what may be read. */
  readonly body: Uint8Array | undefined;
}
