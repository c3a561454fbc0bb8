import * as z from "zod";
import { limits } from "../../broker/limits.ts";
import { expectQueue } from "../../broker/topics/queue-choice.ts";
import type { Topic } from "../../broker/topics/topic.ts";
import { given } from "../given.ts";
import { defineOperation } from "../operation.ts";
import {
  flagText,
  name,
  numberText,
  queueNumber,
  topicAnswer,
  topicParams,
  topicSettings,
} from "../schemas.ts";

export const createTopic = defineOperation({
  name: "createTopic",
  method: "PUT",
  path: "/v1/topics/{topic}",
  summary: "Makes a topic. The same again changes nothing.",
  right: "admin",
  uses: ["readStore", "writeStore"],
  params: topicParams,
  body: z.strictObject(topicSettings),
  answers: { 200: topicAnswer, 201: topicAnswer },
  errors: ["already_exists", "contention"],
  async run({ broker, io }, { params, body }) {
    const { topic, created } = await broker.topics.ensure(io, params.topic, given(body));
    return { status: created ? 201 : 200, json: told(topic) };
  },
});

export const changeTopic = defineOperation({
  name: "changeTopic",
  method: "PATCH",
  path: "/v1/topics/{topic}",
  summary: "Changes a topic's settings. Queues can be added, never taken away; the type stays.",
  right: "admin",
  uses: ["readStore", "writeStore"],
  params: topicParams,
  body: z.strictObject(topicSettings),
  answers: { 200: topicAnswer },
  errors: ["topic_not_found", "contention"],
  async run({ broker, io }, { params, body }) {
    return { status: 200, json: told(await broker.topics.change(io, params.topic, given(body))) };
  },
});

export const listTopics = defineOperation({
  name: "listTopics",
  method: "GET",
  path: "/v1/topics",
  summary: "The topics in the order of their names, in pages.",
  right: "pull",
  uses: ["readStore"],
  query: z.strictObject({
    limit: numberText(1, 1_000).optional(),
    cursor: name(limits.topicNameCharsMax).optional(),
  }),
  answers: {
    200: z.object({
      topics: z.array(topicAnswer),
      damaged: z
        .array(z.string())
        .optional()
        .meta({ description: "Topics whose records cannot be read." }),
      nextCursor: z.string().optional(),
    }),
  },
  errors: [],
  async run({ broker, io }, { query }) {
    const { topics, damaged, next } = await broker.topics.list(io, {
      after: query.cursor,
      limit: query.limit ?? 100,
    });
    return {
      status: 200,
      json: {
        topics: topics.map(told),
        damaged: damaged.length > 0 ? damaged : undefined,
        nextCursor: next,
      },
    };
  },
});

const queueRange = z.object({ queue: z.int(), min: z.int(), max: z.int() });

export const getTopic = defineOperation({
  name: "getTopic",
  method: "GET",
  path: "/v1/topics/{topic}",
  summary:
    "A topic with both ends of each queue: the offset of its first message and that of the next one to come.",
  right: "pull",
  uses: ["readStore"],
  params: topicParams,
  answers: { 200: topicAnswer.omit({ queues: true }).extend({ queues: z.array(queueRange) }) },
  errors: ["topic_not_found"],
  async run({ broker, io }, { params }) {
    const topic = await broker.topics.get(io, params.topic);
    const queues = await Promise.all(
      queuesOf(topic).map(async (queue) => ({
        queue,
        ...(await broker.log.range(io, { topicId: topic.id, queue })),
      })),
    );
    return { status: 200, json: { ...told(topic), queues } };
  },
});

export const deleteTopic = defineOperation({
  name: "deleteTopic",
  method: "DELETE",
  path: "/v1/topics/{topic}",
  summary: "Deletes a topic and all that belongs to it. Refused while a group lags, unless forced.",
  right: "admin",
  uses: ["readStore", "writeStore", "setAlarms"],
  params: topicParams,
  query: z.strictObject({ force: flagText.optional() }),
  answers: { 204: null },
  errors: ["topic_not_found", "group_lags", "contention"],
  async run({ broker, io }, { params, query }) {
    await broker.deleteTopic(io, params.topic, { force: query.force ?? false });
    return { status: 204 };
  },
});

export const sealTopic = defineOperation({
  name: "sealTopic",
  method: "POST",
  path: "/v1/topics/{topic}/seal",
  summary:
    "Seals what a topic, or one queue of it, holds, so that it is archived now. Messages below `sealedTo` lie in sealed segments.",
  right: "admin",
  uses: ["readStore", "writeStore", "setAlarms"],
  params: topicParams,
  body: z.strictObject({ queue: queueNumber.optional() }).optional(),
  answers: {
    200: z.object({ queues: z.array(z.object({ queue: z.int(), sealedTo: z.int() })) }),
  },
  errors: ["topic_not_found", "queue_not_found", "contention", "outcome_unknown"],
  async run({ broker, io }, { params, body }) {
    const topic = await broker.topics.get(io, params.topic);
    const only = body?.queue;
    if (only !== undefined) expectQueue(topic, only);
    const queues = await Promise.all(
      (only === undefined ? queuesOf(topic) : [only]).map(async (queue) => ({
        queue,
        sealedTo: await broker.log.seal(io, { topicId: topic.id, queue }),
      })),
    );
    return { status: 200, json: { queues } };
  },
});

function queuesOf({ queues }: Topic): number[] {
  return Array.from({ length: queues }, (_, queue) => queue);
}

function told({ name: topic, queues, type, retentionMs, writable, shared, createdAt }: Topic) {
  return { topic, queues, type, retentionMs, writable, shared, createdAt };
}
