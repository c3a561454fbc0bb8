import * as z from "zod";
import { poll as pollTurn } from "../../broker/consuming/poll.ts";
import { invalid } from "../../broker/errors.ts";
import { limits } from "../../broker/limits.ts";
import {
  clientId,
  filterText,
  generation,
  groupParams,
  offsetsByQueue,
  offsetsByTopic,
} from "../consuming-schemas.ts";
import { messageToJson } from "../message-json.ts";
import { defineOperation } from "../operation.ts";
import { messageOut, name } from "../schemas.ts";

const topics = z.array(name(limits.topicNameCharsMax)).min(1).max(limits.topicsPerGroupMax);
const assignments = z.record(z.string(), z.array(z.int()));
const membership = z.object({ generation: z.int(), assignments, heartbeatMs: z.int() });
const { heartbeatMs } = limits;

export const heartbeat = defineOperation({
  name: "heartbeat",
  method: "POST",
  path: "/v1/groups/{group}/heartbeat",
  summary: `Joins a group, or stays in it, and tells which queues are the member's own. A member that is not heard of for ${limits.memberMs / 1_000} s is gone.`,
  right: "commit",
  uses: ["readStore", "writeStore", "readBlobs"],
  params: groupParams,
  body: z.strictObject({ clientId, topics }),
  answers: { 200: membership },
  errors: ["topic_not_found", "contention", "outcome_unknown"],
  async run({ broker, io }, { params, body }) {
    const told = await broker.members.heartbeat(io, { group: params.group, ...body });
    return { status: 200, json: { ...told, heartbeatMs } };
  },
});

export const leave = defineOperation({
  name: "leave",
  method: "POST",
  path: "/v1/groups/{group}/leave",
  summary: "Leaves a group at once: its queues go to the other members. Again is fine.",
  right: "commit",
  uses: ["readStore", "writeStore"],
  params: groupParams,
  body: z.strictObject({ clientId }),
  answers: { 204: null },
  errors: ["group_not_found", "contention", "outcome_unknown"],
  async run({ broker, io }, { params, body }) {
    await broker.members.leave(io, params.group, body.clientId);
    return { status: 204 };
  },
});

export const listMembers = defineOperation({
  name: "listMembers",
  method: "GET",
  path: "/v1/groups/{group}/members",
  summary: "The members of a group now, and the queues of each.",
  right: "pull",
  uses: ["readStore"],
  params: groupParams,
  answers: {
    200: z.object({
      generation: z.int(),
      members: z.array(
        z.object({
          clientId: z.string(),
          topics: z.array(z.string()),
          until: z.int(),
          assignments,
        }),
      ),
    }),
  },
  errors: ["group_not_found"],
  async run({ broker, io }, { params }) {
    return { status: 200, json: await broker.members.list(io, params.group) };
  },
});

export const poll = defineOperation({
  name: "poll",
  method: "POST",
  path: "/v1/groups/{group}/poll",
  summary:
    "A turn of a member: commits what it consumed, stays in the group, and pulls from all of its queues from where they are committed on. `next` is what to commit once these messages are consumed.",
  right: "commit",
  uses: ["readStore", "writeStore", "readBlobs"],
  params: groupParams,
  body: z.strictObject({
    clientId,
    generation: generation.optional(),
    topics,
    commit: offsetsByTopic.optional(),
    max: z.int().min(1).max(limits.pullMessagesMax).optional(),
    maxBytes: z.int().min(1).max(limits.pullBytesMax).optional(),
    waitMs: z.int().min(0).max(limits.waitMsMax).optional(),
    filter: filterText.optional(),
  }),
  answers: {
    200: z.object({
      generation: z.int(),
      assignments,
      heartbeatMs: z.int(),
      messages: z.array(messageOut),
      next: z.record(z.string(), offsetsByQueue),
    }),
  },
  errors: [
    "topic_not_found",
    "queue_not_found",
    "generation_stale",
    "filter_conflict",
    "contention",
    "outcome_unknown",
    "corrupt",
  ],
  async run({ broker, io }, { params, body }) {
    const { commit = {}, max = 32, maxBytes = 1_048_576, waitMs = 0 } = body;
    if (body.commit !== undefined && body.generation === undefined)
      throw invalid("generation", "absent", "given together with commit");
    if (body.filter !== undefined && body.topics.length > 1)
      throw invalid("filter", body.filter, "given for one topic at a time");
    const told = await pollTurn(io, broker, {
      group: params.group,
      clientId: body.clientId,
      generation: body.generation,
      topics: body.topics,
      commit: new Map(
        Object.entries(commit).map(([topic, offsets]) => [
          topic,
          new Map(Object.entries(offsets).map(([queue, next]) => [Number(queue), next])),
        ]),
      ),
      max,
      bytesMax: maxBytes,
      waitMs,
      filter: body.filter,
    });
    const offsetsOf = [...told.next].map(([topic, offsets]) => [
      topic,
      Object.fromEntries(offsets),
    ]);
    return {
      status: 200,
      json: {
        generation: told.generation,
        assignments: told.assignments,
        heartbeatMs,
        messages: told.messages.map(({ stored, topic, queue }) =>
          messageToJson(stored, { topic, queue }),
        ),
        next: Object.fromEntries(offsetsOf),
      },
    };
  },
});
