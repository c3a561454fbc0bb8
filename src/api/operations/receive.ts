import * as z from "zod";
import { receiveDefaults } from "../../broker/consuming/give-out.ts";
import { receiptHandleOf } from "../../broker/consuming/receipt-handle.ts";
import {
  acknowledge,
  extend as extendAll,
  giveBack,
  type Settled,
} from "../../broker/consuming/settle-receipts.ts";
import { BrokerError } from "../../broker/errors.ts";
import { limits } from "../../broker/limits.ts";
import {
  filterText,
  groupParams,
  receiptHandles,
  receivedMessage,
  settleResults,
} from "../consuming-schemas.ts";
import { messageToJson } from "../message-json.ts";
import { defineOperation } from "../operation.ts";
import { name } from "../schemas.ts";

const invisibleMs = z.int().min(limits.invisibleMsMin).max(limits.invisibleMsMax);

export const receive = defineOperation({
  name: "receive",
  method: "POST",
  path: "/v1/groups/{group}/receive",
  summary:
    "Messages from any queue that has some, invisible to others for `invisibleMs`: at least one if there is one, waiting up to `waitMs` for it. Repeated with the same `attemptId` it answers the same messages while they are invisible.",
  right: "commit",
  uses: ["readStore", "writeStore", "readBlobs", "writeBlobs", "setAlarms"],
  params: groupParams,
  body: z.strictObject({
    topic: name(limits.topicNameCharsMax),
    max: z.int().min(1).max(limits.receiveMessagesMax).optional(),
    maxBytes: z.int().min(1).max(limits.pullBytesMax).optional(),
    invisibleMs: invisibleMs.optional(),
    waitMs: z.int().min(0).max(limits.waitMsMax).optional(),
    attemptId: z.string().min(1).max(limits.attemptIdCharsMax).optional(),
    filter: filterText.optional(),
  }),
  answers: {
    200: z.object({ messages: z.array(receivedMessage), nextPollAfterMs: z.int().optional() }),
  },
  errors: ["topic_not_found", "filter_conflict", "contention", "outcome_unknown", "corrupt"],
  async run({ broker, io }, { params, body }) {
    const { messages, nextPollAfterMs } = await broker.receiving.receive(io, {
      group: params.group,
      topic: body.topic,
      max: body.max ?? receiveDefaults.max,
      bytesMax: body.maxBytes ?? receiveDefaults.bytesMax,
      invisibleMs: body.invisibleMs ?? receiveDefaults.invisibleMs,
      waitMs: body.waitMs ?? 0,
      attemptId: body.attemptId,
      filter: body.filter,
    });
    return {
      status: 200,
      json: {
        messages: messages.map(({ stored, topic, queue, receipt, ...delivery }) => ({
          ...messageToJson(stored, { topic, queue }),
          receiptHandle: receiptHandleOf(receipt),
          ...delivery,
        })),
        nextPollAfterMs,
      },
    };
  },
});

export const ack = defineOperation({
  name: "ack",
  method: "POST",
  path: "/v1/groups/{group}/ack",
  summary:
    "Acknowledges messages: they never come again. Again is fine, as long as nobody else was given the message.",
  right: "commit",
  uses: ["readStore", "writeStore"],
  params: groupParams,
  body: z.strictObject({ receiptHandles }),
  answers: { 200: settleResults },
  errors: ["group_not_found", "receipt_stale", "contention", "outcome_unknown"],
  async run({ broker, io }, { params, body }) {
    const { group } = params;
    return settled(await acknowledge(io, broker, { group, handles: body.receiptHandles }));
  },
});

export const nack = defineOperation({
  name: "nack",
  method: "POST",
  path: "/v1/groups/{group}/nack",
  summary:
    "Gives messages back: each comes again after `delayMs`, or after its step of the group's ladder; after the last attempt, or with `deadLetter`, it becomes a dead letter.",
  right: "commit",
  uses: ["readStore", "writeStore", "readBlobs", "writeBlobs", "setAlarms"],
  params: groupParams,
  body: z.strictObject({
    receiptHandles,
    delayMs: z.int().min(0).max(limits.delayMsMax).optional(),
    deadLetter: z.boolean().optional(),
  }),
  answers: { 200: settleResults },
  errors: ["group_not_found", "receipt_stale", "contention", "outcome_unknown", "corrupt"],
  async run({ broker, io }, { params, body }) {
    const { receiptHandles: handles, delayMs, deadLetter } = body;
    const { group } = params;
    return settled(await giveBack(io, broker, { group, handles, delayMs, deadLetter }));
  },
});

export const extend = defineOperation({
  name: "extend",
  method: "POST",
  path: "/v1/groups/{group}/extend",
  summary:
    "Keeps messages invisible for `invisibleMs` from now. The handles stay the same. Refused for what was given back or given to somebody else.",
  right: "commit",
  uses: ["readStore", "writeStore"],
  params: groupParams,
  body: z.strictObject({ receiptHandles, invisibleMs }),
  answers: { 200: settleResults },
  errors: ["group_not_found", "receipt_stale", "contention", "outcome_unknown"],
  async run({ broker, io }, { params, body }) {
    const { receiptHandles: handles, invisibleMs: ms } = body;
    const { group } = params;
    return settled(await extendAll(io, broker, { group, handles, invisibleMs: ms }));
  },
});

/** One result an entry; where none was accepted the first one's error, so that `curl -f` fails. */
function settled(errors: Settled) {
  const results = errors.map((error) =>
    error === undefined
      ? { status: "OK" }
      : { error: { code: error.code, message: error.message, details: error.details } },
  );
  const [first] = errors;
  if (first !== undefined && errors.every((error) => error !== undefined)) {
    const { code, message, details } = first;
    throw new BrokerError(code, message, { ...details, results }, { cause: first });
  }
  return { status: 200, json: { results } } as const;
}
