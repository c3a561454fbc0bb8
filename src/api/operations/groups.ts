import * as z from "zod";
import type { Group, GroupSettings } from "../../broker/consuming/group.ts";
import { settingsOf } from "../../broker/consuming/groups.ts";
import { limits } from "../../broker/limits.ts";
import { groupAnswer, groupParams, groupSettings } from "../consuming-schemas.ts";
import { given } from "../given.ts";
import { defineOperation } from "../operation.ts";
import { flagText, name, numberText } from "../schemas.ts";

export const createGroup = defineOperation({
  name: "createGroup",
  method: "PUT",
  path: "/v1/groups/{group}",
  summary:
    "Makes a consumer group. The same again changes nothing. A group that is not made begins with the defaults when it first consumes.",
  right: "admin",
  uses: ["readStore", "writeStore"],
  params: groupParams,
  body: z.strictObject(groupSettings),
  answers: { 200: groupAnswer, 201: groupAnswer },
  errors: ["already_exists", "contention"],
  async run({ broker, io }, { params, body }) {
    const { group, created } = await broker.groups.ensure(io, params.group, wanted(body));
    return { status: created ? 201 : 200, json: told(group) };
  },
});

export const changeGroup = defineOperation({
  name: "changeGroup",
  method: "PATCH",
  path: "/v1/groups/{group}",
  summary:
    "Changes a group's settings; `filters` those of the topics that are named. `orderly` and `broadcast` stay once the group has begun to consume. Brokers follow within 5 s.",
  right: "admin",
  uses: ["readStore", "writeStore"],
  params: groupParams,
  body: z.strictObject(groupSettings),
  answers: { 200: groupAnswer },
  errors: ["group_not_found", "contention"],
  async run({ broker, io }, { params, body }) {
    return { status: 200, json: told(await broker.groups.change(io, params.group, wanted(body))) };
  },
});

export const getGroup = defineOperation({
  name: "getGroup",
  method: "GET",
  path: "/v1/groups/{group}",
  summary: "A consumer group: its settings, and the topics that it has begun to consume.",
  right: "pull",
  uses: ["readStore"],
  params: groupParams,
  answers: { 200: groupAnswer },
  errors: ["group_not_found"],
  async run({ broker, io }, { params }) {
    return { status: 200, json: told(await broker.groups.getNow(io, params.group)) };
  },
});

export const listGroups = defineOperation({
  name: "listGroups",
  method: "GET",
  path: "/v1/groups",
  summary: "The consumer groups in the order of their names, in pages.",
  right: "pull",
  uses: ["readStore"],
  query: z.strictObject({
    limit: numberText(1, 1_000).optional(),
    cursor: name(limits.groupNameCharsMax).optional(),
  }),
  answers: { 200: z.object({ groups: z.array(groupAnswer), nextCursor: z.string().optional() }) },
  errors: [],
  async run({ broker, io }, { query: { cursor, limit = 100 } }) {
    const { groups, next } = await broker.groups.list(io, { after: cursor, limit });
    return { status: 200, json: { groups: groups.map(told), nextCursor: next } };
  },
});

export const deleteGroup = defineOperation({
  name: "deleteGroup",
  method: "DELETE",
  path: "/v1/groups/{group}",
  summary:
    "Deletes a group: its offsets, its retries and its dead letters. Refused while it has members, unless forced.",
  right: "admin",
  uses: ["readStore", "writeStore", "setAlarms"],
  params: groupParams,
  query: z.strictObject({ force: flagText.optional() }),
  answers: { 204: null },
  errors: ["group_not_found", "group_has_members", "contention", "outcome_unknown"],
  async run({ broker, io }, { params, query }) {
    await broker.deleteGroup(io, params.group, { force: query.force ?? false });
    return { status: 204 };
  },
});

function told(group: Group) {
  return {
    group: group.name,
    ...settingsOf(group),
    topics: Object.keys(group.topics),
    createdAt: group.createdAt,
  };
}

function wanted(body: z.output<z.ZodObject<typeof groupSettings>>): Partial<GroupSettings> {
  return given(body) as Partial<GroupSettings>;
}
