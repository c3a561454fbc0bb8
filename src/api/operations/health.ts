import * as z from "zod";
import {
  defineOperation,
  type HasPorts,
  type Operation,
  type OperationContext,
} from "../operation.ts";

/** What this broker can do, so that a client need not guess from its version. */
const features = [
  "topics",
  "send",
  "send-once",
  "pull",
  "offsets",
  "binary-batches",
  "seal",
  "seek",
  "search",
  "delayed",
  "groups",
  "poll",
  "receive",
  "dead-letters",
  "filters",
  "transactions",
  "routes",
];

export const version = "0.1.0";

export const health = healthOf(features);

/** The operation that tells what can be done here. */
export function healthOf(told: readonly string[]): Operation<HasPorts> {
  return defineOperation({
    name: "health",
    method: "GET",
    path: "/v1/health",
    summary: "Alive. Reads nothing, open to all.",
    right: "none",
    uses: [],
    answers: {
      200: z.object({
        status: z.literal("ok"),
        version: z.string(),
        features: z.array(z.string()),
      }),
    },
    errors: [],
    async run(_: OperationContext<HasPorts>) {
      return { status: 200, json: { status: "ok", version, features: told } };
    },
  });
}
