import * as z from "zod";
import { limits } from "../broker/limits.ts";
import { instant, messageOut, name, noneDropped, queueOffset, topicParams } from "./schemas.ts";

/** The schemas that the operations of consumers share. Apart, for a function that serves senders loads none of them. */

export const groupParams = z.strictObject({ group: name(limits.groupNameCharsMax) });
export const groupTopicParams = topicParams.extend({ group: name(limits.groupNameCharsMax) });

/** Offsets by queue number; JSON has only strings for keys. */
export const offsetsByQueue = noneDropped(
  z.record(z.string().regex(/^(?:0|[1-9]\d{0,2})$/, { error: "a queue number" }), queueOffset),
);

export const clientId = z
  .string()
  .regex(new RegExp(`^[\\x21-\\x7e]{1,${limits.clientIdCharsMax}}$`), {
    error: `1 to ${limits.clientIdCharsMax} printable characters of ASCII without spaces`,
  })
  .meta({ description: "Names a member of a group; unique among them." });

export const generation = z.int().min(0).meta({ description: "As a heartbeat or a poll told it." });

/** Offsets of several topics. */
export const offsetsByTopic = noneDropped(z.record(name(limits.topicNameCharsMax), offsetsByQueue));

export const filterText = z.string().min(1).max(limits.filterBytesMax).meta({
  description:
    "`*`, or tags as in `a || b`. The group has one for each topic; another one is refused.",
});

const retryMs = z.array(z.int().min(0).max(limits.delayMsMax)).min(1).max(limits.retryStepsMax);
export const startPoint = z.union(
  [z.literal("earliest"), z.literal("latest"), z.strictObject({ at: instant })],
  { error: "earliest, latest, or {at: an instant}" },
);

export const groupSettings = {
  orderly: z.boolean().optional(),
  from: startPoint.optional(),
  maxAttempts: z.int().min(1).max(limits.maxAttemptsMax).optional(),
  retryMs: retryMs.optional(),
  filters: noneDropped(z.record(name(limits.topicNameCharsMax), filterText)).optional(),
  broadcast: z.boolean().optional(),
  maxInFlight: z.int().min(1).max(1_000_000).optional(),
  paused: z.boolean().optional(),
};

export const groupAnswer = z.object({
  group: z.string(),
  orderly: z.boolean(),
  from: z.union([z.enum(["earliest", "latest"]), z.object({ at: z.int() })]),
  maxAttempts: z.int(),
  retryMs: z.array(z.int()),
  filters: z.record(z.string(), z.string()),
  broadcast: z.boolean(),
  maxInFlight: z.int(),
  paused: z.boolean(),
  topics: z.array(z.string()),
  createdAt: z.int(),
});

export const receivedMessage = messageOut.extend({
  receiptHandle: z.string(),
  deliveryAttempt: z.int(),
  invisibleUntil: z.int(),
});

export const receiptHandles = z.array(z.string()).min(1).max(limits.handlesPerRequestMax);

/** One for each entry of a batch, in its order. */
export const settleResults = z.object({
  results: z.array(
    z.union([
      z.object({ status: z.literal("OK") }),
      z.object({
        error: z.object({
          code: z.string(),
          message: z.string(),
          details: z.record(z.string(), z.unknown()).optional(),
        }),
      }),
    ]),
  ),
});
