import * as z from "zod";
import { limits } from "../broker/limits.ts";
import { delayLevels } from "../broker/timers/delay.ts";
import { topicTypes } from "../broker/topics/topic.ts";

/** The schemas that several operations share. What they refuse never reaches the broker. */

export const name = (charsMax: number) =>
  z.string().regex(new RegExp(`^[A-Za-z0-9_-]{1,${charsMax}}$`), {
    error: `1 to ${charsMax} of the characters A-Z a-z 0-9 _ -`,
  });

/** A whole number in a path or a query. */
export const numberText = (min: number, max: number) =>
  z
    .string()
    .regex(/^\d{1,16}$/, { error: `a whole number from ${min} to ${max}` })
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .meta({ type: "integer", minimum: min, maximum: max });

export const flagText = z
  .enum(["true", "false"])
  .transform((text) => text === "true")
  .meta({ type: "boolean" });

export const queueNumber = z
  .int()
  .min(0)
  .max(limits.queuesPerTopicMax - 1);
const queueText = numberText(0, limits.queuesPerTopicMax - 1);
export const queueOffset = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const offsetText = numberText(0, Number.MAX_SAFE_INTEGER);

const timeMax = 2 ** 48 - 1;
const isoInstant = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text));
/** An instant: milliseconds since the epoch, or ISO 8601. */
export const instant = z
  .union([z.int().min(0).max(timeMax), isoInstant], {
    error: "milliseconds since the epoch, or ISO 8601 with a time zone",
  })
  .meta({ description: "Milliseconds since the epoch, or ISO 8601 with a time zone." });

/** An instant in a query. */
export const instantText = z
  .union([numberText(0, timeMax), isoInstant.pipe(z.int().min(0).max(timeMax))], {
    error: "milliseconds since the epoch, or ISO 8601 with a time zone (a + is written as %2B)",
  })
  .meta({ description: "Milliseconds since the epoch, or ISO 8601 with a time zone." });

export const topicParams = z.strictObject({ topic: name(limits.topicNameCharsMax) });
export const queueParams = topicParams.extend({ queue: queueText });
export const messageParams = queueParams.extend({ offset: offsetText });

export const topicSettings = {
  queues: z.int().min(1).max(limits.queuesPerTopicMax).optional(),
  type: z.enum(topicTypes).optional(),
  retentionMs: z.int().min(limits.retentionMsMin).max(limits.retentionMsMax).optional(),
  writable: z.boolean().optional(),
  shared: z
    .boolean()
    .optional()
    .meta({ description: "Whether name servers may let other brokers have queues of it, too." }),
};

export const topicAnswer = z.object({
  topic: z.string(),
  queues: z.int(),
  type: z.enum(topicTypes),
  retentionMs: z.int(),
  writable: z.boolean(),
  shared: z.boolean(),
  createdAt: z.int(),
});

export const pullQuery = z.strictObject({
  offset: offsetText,
  max: numberText(1, limits.pullMessagesMax).optional(),
  maxBytes: numberText(1, limits.pullBytesMax).optional(),
  waitMs: numberText(0, limits.waitMsMax).optional(),
});

/** A record refuses nothing that is called `__proto__`: zod drops it, so it is refused before. */
export function noneDropped<S extends z.ZodType>(schema: S) {
  return z.preprocess((value, context) => {
    if (typeof value === "object" && value !== null && Object.hasOwn(value, "__proto__")) {
      context.addIssue({ code: "custom", message: "without a field that is called __proto__" });
    }
    return value;
  }, schema);
}

export const batchId = z
  .string()
  .regex(/^(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$/, {
    error: "a UUID: 32 hexadecimal digits, with dashes or without",
  })
  .meta({
    description:
      "A UUID, minted by the producer. Together with firstAttemptAt: the batch lands once.",
  });

export const messageIn = z.strictObject({
  body: z.string(),
  bodyEncoding: z.enum(["utf8", "base64"]).optional(),
  tag: z.string().optional(),
  keys: z.array(z.string()).max(limits.keysPerMessageMax).optional(),
  properties: noneDropped(z.record(z.string(), z.string())).optional(),
  messageId: z.string().optional(),
  messageGroup: z.string().optional(),
  queue: queueNumber.optional(),
  bornAt: instant.optional(),
  deliverAt: instant.optional(),
  delayMs: z.int().min(0).max(limits.delayMsMax).optional(),
  delayLevel: z.int().min(1).max(delayLevels.length).optional(),
});
export type MessageIn = z.output<typeof messageIn>;

export const messageOut = z.object({
  topic: z.string(),
  queue: z.int(),
  offset: z.int(),
  messageId: z.string(),
  body: z.string(),
  bodyEncoding: z.enum(["utf8", "base64"]),
  tag: z.string().optional(),
  keys: z.array(z.string()).optional(),
  properties: z.record(z.string(), z.string()).optional(),
  messageGroup: z.string().optional(),
  bornAt: z.int(),
  storedAt: z.int(),
});

export const errorBody = z.object({
  code: z.string(),
  message: z.string(),
  details: z.record(z.string(), z.unknown()).optional(),
  requestId: z.string(),
});
