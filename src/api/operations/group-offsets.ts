import * as z from "zod";
import type { ResetPoint } from "../../broker/consuming/group-offsets.ts";
import { invalid } from "../../broker/errors.ts";
import { limits } from "../../broker/limits.ts";
import { clientId, generation, groupTopicParams, offsetsByQueue } from "../consuming-schemas.ts";
import { defineOperation } from "../operation.ts";
import { instant } from "../schemas.ts";

const offsetsAnswer = z.object({ offsets: offsetsByQueue });
const someOffsets = offsetsByQueue.refine((offsets) => {
  const { length } = Object.keys(offsets);
  return length >= 1 && length <= limits.queuesPerTopicMax;
}, `1 to ${limits.queuesPerTopicMax} queues`);
/** Where a group broadcasts, every member has offsets of its own. */
const ofClient = z.strictObject({ clientId: clientId.optional() });

export const commitOffsets = defineOperation({
  name: "commitOffsets",
  method: "PUT",
  path: "/v1/groups/{group}/offsets/{topic}",
  summary:
    "Moves a group's offsets forward: each is the next message to be consumed. Answers where they are now. With `clientId` and `generation` it is refused for queues that belong to others meanwhile.",
  right: "commit",
  uses: ["readStore", "writeStore", "readBlobs"],
  params: groupTopicParams,
  body: z.strictObject({
    offsets: someOffsets,
    clientId: clientId.optional(),
    generation: generation.optional(),
  }),
  answers: { 200: offsetsAnswer },
  errors: [
    "topic_not_found",
    "queue_not_found",
    "generation_stale",
    "contention",
    "outcome_unknown",
  ],
  async run({ broker, io }, { params, body }) {
    if (body.generation !== undefined && body.clientId === undefined)
      throw invalid("clientId", "absent", "given together with generation");
    const topic = await broker.topics.get(io, params.topic);
    const committed = await broker.groupOffsets.commit(io, {
      ...body,
      group: params.group,
      topic,
      offsets: byNumber(body.offsets),
    });
    return { status: 200, json: { offsets: Object.fromEntries(committed) } };
  },
});

export const getOffsets = defineOperation({
  name: "getOffsets",
  method: "GET",
  path: "/v1/groups/{group}/offsets/{topic}",
  summary: "A group's committed offsets, of the queues where it has consumed.",
  right: "pull",
  uses: ["readStore"],
  params: groupTopicParams,
  query: ofClient,
  answers: { 200: offsetsAnswer },
  errors: ["topic_not_found"],
  async run({ broker, io }, { params, query }) {
    const topic = await broker.topics.get(io, params.topic);
    const committed = await broker.groupOffsets.get(io, params.group, topic, query.clientId);
    return { status: 200, json: { offsets: Object.fromEntries(committed) } };
  },
});

export const getLag = defineOperation({
  name: "getLag",
  method: "GET",
  path: "/v1/groups/{group}/lag/{topic}",
  summary:
    "How many messages of each queue a group has not settled, and how many of them are in hand or wait to be given out again; `retry` counts those that wait in the group's retry topic.",
  right: "pull",
  uses: ["readStore"],
  params: groupTopicParams,
  query: ofClient,
  answers: {
    200: z.object({
      queues: z.array(
        z.object({
          queue: z.int(),
          committed: z.int().optional(),
          max: z.int(),
          lag: z.int(),
          inFlight: z.int(),
        }),
      ),
      retry: z.object({ lag: z.int(), inFlight: z.int() }),
      total: z.int(),
    }),
  },
  errors: ["topic_not_found"],
  async run({ broker, io }, { params, query }) {
    const topic = await broker.topics.get(io, params.topic);
    const { group } = params;
    const { log, groupOffsets } = broker;
    const queues = await groupOffsets.lag(io, log, group, topic, query.clientId);
    const retry = await groupOffsets.retries(io, log, group, topic);
    const total = queues.reduce((sum, { lag }) => sum + lag, retry.lag);
    return { status: 200, json: { queues, retry, total } };
  },
});

export const resetOffsets = defineOperation({
  name: "resetOffsets",
  method: "POST",
  path: "/v1/groups/{group}/reset/{topic}",
  summary:
    "Has a group begin anew elsewhere. What was given out is void: its handles are stale. Refused while the group has members, unless forced.",
  right: "admin",
  uses: ["readStore", "writeStore", "readBlobs"],
  params: groupTopicParams,
  body: z.strictObject({
    to: z.union(
      [
        z.literal("earliest"),
        z.literal("latest"),
        z.strictObject({ at: instant }),
        z.strictObject({ offsets: someOffsets }),
      ],
      { error: "earliest, latest, {at: an instant} or {offsets: by queue}" },
    ),
    ifOffsets: someOffsets.optional(),
    dryRun: z.boolean().optional(),
    force: z.boolean().optional(),
  }),
  answers: { 200: z.object({ before: offsetsByQueue, after: offsetsByQueue }) },
  errors: [
    "topic_not_found",
    "queue_not_found",
    "group_not_found",
    "group_has_members",
    "condition_failed",
    "contention",
    "outcome_unknown",
  ],
  async run({ broker, io }, { params, body }) {
    const { group } = params;
    const topic = await broker.topics.get(io, params.topic);
    await broker.groups.getNow(io, group);
    if (body.force !== true && body.dryRun !== true) await broker.expectNoMembers(io, group);
    const { to, ifOffsets, dryRun } = body;
    const point: ResetPoint =
      typeof to === "object" && "offsets" in to ? { offsets: byNumber(to.offsets) } : to;
    const { before, after } = await broker.groupOffsets.reset(io, broker.log, {
      group,
      topic,
      to: point,
      ifOffsets: ifOffsets && byNumber(ifOffsets),
      dryRun,
    });
    return {
      status: 200,
      json: { before: Object.fromEntries(before), after: Object.fromEntries(after) },
    };
  },
});

function byNumber(offsets: Readonly<Record<string, number>>): Map<number, number> {
  return new Map(Object.entries(offsets).map(([queue, offset]) => [Number(queue), offset]));
}
