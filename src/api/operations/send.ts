import * as z from "zod";
import { fromHex } from "../../broker/bytes.ts";
import { BrokerError } from "../../broker/errors.ts";
import { limits } from "../../broker/limits.ts";
import { sendBatch as sendBatchTo } from "../../broker/sending/send-batch.ts";
import { type SendResult, sendMessages } from "../../broker/sending/send-messages.ts";
import type { SendingBroker } from "../../broker/sending-broker.ts";
import { fromJson } from "../message-json.ts";
import { batchType, defineOperation, type OperationContext } from "../operation.ts";
import { batchId, instant, messageIn, numberText, queueNumber, topicParams } from "../schemas.ts";

const attemptMax = 1_000;

const sendResult = z.union([
  z.object({
    status: z.literal("SEND_OK"),
    messageId: z.string(),
    queue: z.int(),
    offset: z.int(),
  }),
  z.object({
    status: z.literal("SEND_OK"),
    messageId: z.string(),
    deliverAt: z.int(),
    recallHandle: z.string(),
  }),
  z.object({
    error: z.object({
      code: z.string(),
      message: z.string(),
      details: z.record(z.string(), z.unknown()).optional(),
    }),
  }),
]);

export const send = defineOperation({
  name: "send",
  method: "POST",
  path: "/v1/topics/{topic}/messages",
  summary:
    "Sends messages. They are durable when this answers; one result for each, in their order.",
  right: "send",
  uses: ["readStore", "writeStore", "writeBlobs", "setAlarms"],
  params: topicParams,
  body: z.strictObject({
    messages: z.array(messageIn).min(1).max(limits.messagesPerRequestMax),
    batchId: batchId.optional(),
    firstAttemptAt: instant.optional(),
    attempt: z.int().min(1).max(attemptMax).optional(),
  }),
  answers: { 200: z.object({ results: z.array(sendResult) }) },
  errors: [
    "topic_not_found",
    "queue_not_found",
    "topic_not_writable",
    "type_mismatch",
    "message_too_large",
    "batch_too_large",
    "clock_skew",
    "retry_window_passed",
    "idempotency_key_reused",
    "contention",
    "outcome_unknown",
  ],
  async run({ broker, io }: OperationContext<SendingBroker>, { params, body }) {
    const results = await sendMessages(io, broker, {
      topic: params.topic,
      messages: body.messages.map((message, index) => fromJson(message, `messages[${index}]`)),
      ...(body.batchId === undefined ? {} : { batchId: fromHex(body.batchId.replaceAll("-", "")) }),
      ...(body.firstAttemptAt === undefined ? {} : { firstAttemptAt: body.firstAttemptAt }),
    });
    return { status: 200, json: { results: toldOrThrown(results) } };
  },
});

export const sendBatch = defineOperation({
  name: "sendBatch",
  method: "POST",
  path: "/v1/topics/{topic}/messages",
  summary: "Sends one batch in its stored form: message i gets `offset + i`.",
  right: "send",
  uses: ["readStore", "writeStore", "writeBlobs", "setAlarms"],
  params: topicParams,
  query: z.strictObject({
    queue: numberText(0, limits.queuesPerTopicMax - 1).optional(),
    messageGroup: z.string().min(1).max(limits.messageGroupBytesMax).optional(),
    attempt: numberText(1, attemptMax).optional(),
  }),
  consumes: batchType,
  answers: {
    200: z.object({
      status: z.literal("SEND_OK"),
      queue: queueNumber,
      offset: z.int(),
      count: z.int(),
      storedAt: z.int(),
    }),
  },
  errors: send.errors,
  async run({ broker, io }: OperationContext<SendingBroker>, { params, query, body }) {
    const { queue, messageGroup } = query;
    const sent = await sendBatchTo(io, broker, {
      topic: params.topic,
      bytes: body,
      ...(queue === undefined ? {} : { queue }),
      ...(messageGroup === undefined ? {} : { messageGroup }),
    });
    return { status: 200, json: { status: "SEND_OK", ...sent } };
  },
});

/** One result an entry; where none was accepted the first one's error, so that `curl -f` fails. */
function toldOrThrown(results: readonly SendResult[]): object[] {
  const told = results.map((result) => {
    if (!("error" in result)) return { status: "SEND_OK", ...result };
    const { code, message, details } = result.error;
    return { error: { code, message, details } };
  });
  const [first] = results;
  if (first !== undefined && "error" in first && results.every((result) => "error" in result)) {
    const { code, message, details } = first.error;
    throw new BrokerError(code, message, { ...details, results: told }, { cause: first.error });
  }
  return told;
}
