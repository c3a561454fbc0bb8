import * as z from "zod";
import { limits } from "../../broker/limits.ts";
import { defineOperation } from "../operation.ts";
import { groupTopicParams, offsetsByQueue } from "../schemas.ts";

const offsetsAnswer = z.object({ offsets: offsetsByQueue });

export const commitOffsets = defineOperation({
  name: "commitOffsets",
  method: "PUT",
  path: "/v1/groups/{group}/offsets/{topic}",
  summary:
    "Moves a group's offsets forward: each is the next message to be consumed. Answers where they are now.",
  right: "commit",
  uses: ["readStore", "writeStore"],
  params: groupTopicParams,
  body: z.strictObject({
    offsets: offsetsByQueue.refine((offsets) => {
      const { length } = Object.keys(offsets);
      return length >= 1 && length <= limits.queuesPerTopicMax;
    }, `1 to ${limits.queuesPerTopicMax} queues`),
  }),
  answers: { 200: offsetsAnswer },
  errors: ["topic_not_found", "queue_not_found", "contention", "outcome_unknown"],
  async run({ broker, io }, { params, body }) {
    const topic = await broker.topics.get(io, params.topic);
    const offsets = new Map(
      Object.entries(body.offsets).map(([queue, next]) => [Number(queue), next]),
    );
    const committed = await broker.groupOffsets.commit(io, { group: params.group, topic, offsets });
    return { status: 200, json: { offsets: Object.fromEntries(committed) } };
  },
});

export const getOffsets = defineOperation({
  name: "getOffsets",
  method: "GET",
  path: "/v1/groups/{group}/offsets/{topic}",
  summary: "A group's committed offsets, of the queues where it has committed.",
  right: "pull",
  uses: ["readStore"],
  params: groupTopicParams,
  answers: { 200: offsetsAnswer },
  errors: ["topic_not_found"],
  async run({ broker, io }, { params }) {
    const topic = await broker.topics.get(io, params.topic);
    const committed = await broker.groupOffsets.get(io, params.group, topic);
    return { status: 200, json: { offsets: Object.fromEntries(committed) } };
  },
});

export const getLag = defineOperation({
  name: "getLag",
  method: "GET",
  path: "/v1/groups/{group}/lag/{topic}",
  summary: "How many messages of each queue a group has not consumed.",
  right: "pull",
  uses: ["readStore"],
  params: groupTopicParams,
  answers: {
    200: z.object({
      queues: z.array(
        z.object({ queue: z.int(), committed: z.int().optional(), max: z.int(), lag: z.int() }),
      ),
      total: z.int(),
    }),
  },
  errors: ["topic_not_found"],
  async run({ broker, io }, { params }) {
    const topic = await broker.topics.get(io, params.topic);
    const queues = await broker.groupOffsets.lag(io, broker.log, params.group, topic);
    return { status: 200, json: { queues, total: queues.reduce((sum, { lag }) => sum + lag, 0) } };
  },
});
