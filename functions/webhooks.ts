import { createHmac } from "node:crypto";
import type { Webhooks } from "../src/broker/ports/webhooks.ts";
import type { Settings } from "./settings.ts";

/** For the functions that ask producers, or take the address at which they are asked. The others have no code that calls out. */
export function webhooksOf({ allowWebhooksTo = [] }: Settings): Webhooks {
  let loaded: Promise<Webhooks> | undefined;
  const webhooks = () => {
    loaded ??= import("../src/adapters/webhooks/node-webhooks.ts").then(
      ({ NodeWebhooks }) => new NodeWebhooks({ allow: allowWebhooksTo }),
    );
    return loaded;
  };
  return {
    expectAllowed: async (url, field) => (await webhooks()).expectAllowed(url, field),
    post: async (...call) => (await webhooks()).post(...call),
    hmacSha256: (key, bytes) => createHmac("sha256", key).update(bytes).digest(),
  };
}
