import { createHmac } from "node:crypto";
import type { WebhookAnswer, Webhooks } from "../../broker/ports/webhooks.ts";
import { allowedTargets, hostToCall } from "../webhooks/webhook-policy.ts";

/** A call as the other side gets it. */
export interface WebhookCall {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly timeoutMs: number;
}

/** Webhooks that call a function of whoever tests. It judges addresses by their text, as the real ones do. */
export class MemoryWebhooks implements Webhooks {
  /** Answers in the stead of everybody. */
  answer: (call: WebhookCall) => Promise<WebhookAnswer>;

  constructor(answer: (call: WebhookCall) => Promise<WebhookAnswer> = nobodyKnows) {
    this.answer = answer;
  }

  async expectAllowed(url: string, field: string): Promise<void> {
    hostToCall(url, allowedTargets([]), field);
  }

  hmacSha256(key: Uint8Array, bytes: Uint8Array): Uint8Array {
    return createHmac("sha256", key).update(bytes).digest();
  }

  post(
    url: string,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array,
    { timeoutMs }: { readonly timeoutMs: number },
  ): Promise<WebhookAnswer> {
    return this.answer({ url, headers, body, timeoutMs });
  }
}

async function nobodyKnows(): Promise<WebhookAnswer> {
  return { status: 200, body: Buffer.from('{"outcome":"unknown"}') };
}
