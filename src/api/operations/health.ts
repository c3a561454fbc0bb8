import * as z from "zod";
import { defineOperation } from "../operation.ts";

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
];

export const version = "0.1.0";

export const health = defineOperation({
  name: "health",
  method: "GET",
  path: "/v1/health",
  summary: "Alive. Reads nothing, open to all.",
  right: "none",
  uses: [],
  answers: {
    200: z.object({ status: z.literal("ok"), version: z.string(), features: z.array(z.string()) }),
  },
  errors: [],
  async run() {
    return { status: 200, json: { status: "ok", version, features } };
  },
});
