import type { Webhooks } from "../src/broker/ports/webhooks.ts";

const refuse = () => {
  throw new Error("this function calls no webhooks");
};

/** For the functions that ask nobody. */
export const noWebhooks: Webhooks = { expectAllowed: refuse, post: refuse, hmacSha256: refuse };
