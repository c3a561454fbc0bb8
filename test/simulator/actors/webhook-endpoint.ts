import { utf8 } from "../../../src/broker/bytes.ts";
import type { WebhookAnswer } from "../../../src/broker/ports/webhooks.ts";
import type { Auditor } from "../auditor.ts";
import type { Endpoint } from "../simulated-webhooks.ts";
import type { World } from "../world.ts";

/** Answers checks from the local database of its group; what that does not know is rolled back. Now and then it does not know, or fails. */
export function webhookEndpoint(auditor: Auditor, world: World): Endpoint {
  return (body) => {
    const { dice, now, calm } = world;
    const { transactionId } = JSON.parse(new TextDecoder().decode(body)) as {
      readonly transactionId: string;
    };
    const seen = auditor.transactions.get(transactionId);
    if (seen === undefined) throw new Error("a webhook about what nobody prepared");
    if (!calm && dice.chance(0.15)) return answerOf(503, "no JSON");
    if (!calm && dice.chance(0.25)) {
      seen.unknowns = (seen.unknowns ?? 0) + 1;
      return dice.chance(0.5) ? answerOf(200, { outcome: "unknown" }) : answerOf(302, "elsewhere");
    }
    seen.decided ??= "rollback";
    seen.endAskedAt = Math.min(seen.endAskedAt, now);
    if (seen.decided === "commit") {
      seen.commitAskedAt = Math.min(seen.commitAskedAt, now);
      auditor.sent.get(seen.uid)?.attempts.push({ startedAt: now, outcome: "unknown" });
    }
    return answerOf(200, { outcome: seen.decided });
  };
}

function answerOf(status: number, answer: unknown): WebhookAnswer {
  return { status, body: utf8(JSON.stringify(answer)) };
}
