import * as z from "zod";
import {
  listDeadLetters as list,
  redrive as redriveAll,
} from "../../broker/consuming/dead-letters.ts";
import { limits } from "../../broker/limits.ts";
import { filterText, groupParams } from "../consuming-schemas.ts";
import { messageToJson } from "../message-json.ts";
import { defineOperation } from "../operation.ts";
import { messageOut, numberText } from "../schemas.ts";

export const listDeadLetters = defineOperation({
  name: "listDeadLetters",
  method: "GET",
  path: "/v1/groups/{group}/dead-letters",
  summary:
    "A group's dead letters from an offset on, from the first one on without it: each with where it was sent to, why it is dead and how often it was given out. They have one queue.",
  right: "pull",
  uses: ["readStore", "readBlobs"],
  params: groupParams,
  query: z.strictObject({
    queue: numberText(0, 0).optional(),
    offset: numberText(0, Number.MAX_SAFE_INTEGER).optional(),
    max: numberText(1, limits.pullMessagesMax).optional(),
    maxBytes: numberText(1, limits.pullBytesMax).optional(),
  }),
  answers: {
    200: z.object({
      messages: z.array(
        messageOut.extend({
          origin: z.object({
            topic: z.string(),
            queue: z.int(),
            offset: z.int(),
            reason: z.string(),
            attempts: z.int(),
            deadAt: z.int(),
          }),
          redriven: z.boolean(),
        }),
      ),
      nextOffset: z.int(),
      minOffset: z.int(),
      maxOffset: z.int(),
    }),
  },
  errors: ["group_not_found", "out_of_range", "corrupt"],
  async run({ broker, io }, { params, query }) {
    const { group } = params;
    const { offset, max = 32, maxBytes: bytesMax = 1_048_576 } = query;
    const told = await list(io, broker, { group, offset, max, bytesMax });
    return {
      status: 200,
      json: {
        messages: told.deadLetters.map(({ stored, past: origin, redriven }) => ({
          ...messageToJson(stored, { topic: `%DLQ%${group}`, queue: 0 }),
          origin,
          redriven,
        })),
        nextOffset: told.nextOffset,
        minOffset: told.min,
        maxOffset: told.max,
      },
    };
  },
});

export const redrive = defineOperation({
  name: "redrive",
  method: "POST",
  path: "/v1/groups/{group}/redrive",
  summary:
    "Has dead letters consumed once more, by this group alone. None goes twice; those that `filter` passes over stay.",
  right: "admin",
  uses: ["readStore", "writeStore", "readBlobs", "writeBlobs", "setAlarms"],
  params: groupParams,
  body: z
    .strictObject({
      max: z.int().min(1).max(10_000).optional(),
      filter: filterText.optional(),
      dryRun: z.boolean().optional(),
    })
    .optional(),
  answers: { 200: z.object({ moved: z.int(), remaining: z.int() }) },
  errors: ["group_not_found", "contention", "outcome_unknown", "corrupt"],
  async run({ broker, io }, { params, body = {} }) {
    const { max = 1_000, filter, dryRun } = body;
    const { group } = params;
    const { moved, remaining } = await redriveAll(io, broker, { group, max, filter, dryRun });
    return { status: 200, json: { moved, remaining } };
  },
});
