import * as z from "zod";
import { forward as forwardAll } from "../../broker/consuming/forward.ts";
import { limits } from "../../broker/limits.ts";
import { groupParams, receiptHandles } from "../consuming-schemas.ts";
import { fromJson } from "../message-json.ts";
import { defineOperation } from "../operation.ts";
import { messageIn, name } from "../schemas.ts";

const { forwardTargetsMax, messagesPerRequestMax } = limits;

export const forward = defineOperation({
  name: "forward",
  method: "POST",
  path: "/v1/groups/{group}/forward",
  summary: `Acknowledges messages and sends what came of them, all of it or nothing, to at most ${forwardTargetsMax} queues. One result for each message, in their order. Repeated with the same handles within a day it answers the first one's results.`,
  right: "forward",
  uses: ["readStore", "writeStore", "writeBlobs", "setAlarms"],
  params: groupParams,
  body: z.strictObject({
    receiptHandles,
    sends: z
      .array(
        z.strictObject({
          topic: name(limits.topicNameCharsMax),
          messages: z.array(messageIn).min(1).max(messagesPerRequestMax),
        }),
      )
      .min(1)
      .max(forwardTargetsMax),
  }),
  answers: {
    200: z.object({
      results: z.array(
        z.union([
          z.object({
            status: z.literal("SEND_OK"),
            topic: z.string(),
            messageId: z.string(),
            queue: z.int(),
            offset: z.int(),
          }),
          z.object({
            status: z.literal("SEND_OK"),
            topic: z.string(),
            messageId: z.string(),
            deliverAt: z.int(),
            recallHandle: z.string(),
          }),
        ]),
      ),
    }),
  },
  errors: [
    "group_not_found",
    "topic_not_found",
    "queue_not_found",
    "topic_not_writable",
    "type_mismatch",
    "message_too_large",
    "batch_too_large",
    "idempotency_key_reused",
    "receipt_stale",
    "contention",
    "outcome_unknown",
    "corrupt",
  ],
  async run({ broker, io }, { params, body }) {
    const results = await forwardAll(io, broker, {
      group: params.group,
      handles: body.receiptHandles,
      sends: body.sends.map(({ topic, messages }, send) => ({
        topic,
        messages: messages.map((message, index) =>
          fromJson(message, `sends[${send}].messages[${index}]`),
        ),
      })),
    });
    return {
      status: 200,
      json: { results: results.map((result) => ({ status: "SEND_OK", ...result })) },
    };
  },
});
