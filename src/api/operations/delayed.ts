import * as z from "zod";
import { limits } from "../../broker/limits.ts";
import type { SendingBroker } from "../../broker/sending-broker.ts";
import {
  readRecallHandle,
  recallHandleChars,
  recallHandleOf,
} from "../../broker/timers/recall-handle.ts";
import { delayedNotFound } from "../../broker/timers/timers.ts";
import { defineOperation, type OperationContext } from "../operation.ts";
import { name, numberText } from "../schemas.ts";

const recallHandle = z.string().regex(new RegExp(`^[0-9a-f]{${recallHandleChars}}$`), {
  error: "a recallHandle that a send answered",
});

export const recall = defineOperation({
  name: "recall",
  method: "DELETE",
  path: "/v1/delayed/{recallHandle}",
  summary:
    "Recalls a delayed message that still waits. Again is fine; 409 tells where it went if it was delivered.",
  right: "send",
  uses: ["readStore", "writeStore"],
  params: z.strictObject({ recallHandle: z.string() }),
  answers: { 204: null },
  errors: ["delayed_not_found", "recall_too_late", "outcome_unknown"],
  async run({ broker, io }: OperationContext<SendingBroker>, { params }) {
    const { success, data } = recallHandle.safeParse(params.recallHandle);
    if (!success) throw delayedNotFound();
    await broker.timers.recall(io, readRecallHandle(data));
    return { status: 204 };
  },
});

export const listDelayed = defineOperation({
  name: "listDelayed",
  method: "GET",
  path: "/v1/delayed",
  summary:
    "Messages that wait, by the minute in which they are due, in pages; and how many of a page are due in each minute.",
  right: "pull",
  uses: ["readStore"],
  query: z.strictObject({
    topic: name(limits.topicNameCharsMax).optional(),
    limit: numberText(1, 1_000).optional(),
    cursor: recallHandle.optional(),
  }),
  answers: {
    200: z.object({
      delayed: z.array(
        z.object({
          topic: z.string(),
          queue: z.int(),
          messageId: z.string(),
          deliverAt: z.int(),
          recallHandle: z.string(),
        }),
      ),
      minutes: z.array(z.object({ from: z.int(), waiting: z.int() })),
      nextCursor: z.string().optional(),
    }),
  },
  errors: ["topic_not_found"],
  async run({ broker, io }, { query: { topic, limit = 100, cursor } }) {
    const topicId = topic === undefined ? undefined : (await broker.topics.get(io, topic)).id;
    const { waiting, next } = await broker.timers.list(io, {
      limit,
      ...(topicId === undefined ? {} : { topicId }),
      ...(cursor === undefined ? {} : { after: readRecallHandle(cursor) }),
    });
    const minutes = new Map<number, number>();
    const delayed = waiting.map((message) => {
      const from = message.dueAt - (message.dueAt % 60_000);
      minutes.set(from, (minutes.get(from) ?? 0) + 1);
      const { topic: of, queue, messageId, dueAt: deliverAt } = message;
      return { topic: of, queue, messageId, deliverAt, recallHandle: recallHandleOf(message) };
    });
    return {
      status: 200,
      json: {
        delayed,
        minutes: [...minutes].map(([from, count]) => ({ from, waiting: count })),
        nextCursor: next && recallHandleOf(next),
      },
    };
  },
});
