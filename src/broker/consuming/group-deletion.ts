import { BrokerError, isBrokerError } from "../errors.ts";
import { limits } from "../limits.ts";
import { deleteItems } from "../log/segment-work.ts";
import type { Ports } from "../ports/ports.ts";
import { type Item, storeLimits } from "../ports/store.ts";
import { type ConsumerId, consumerOfKey, keys, partitions } from "../schema.ts";
import type { Topics } from "../topics/topics.ts";
import type { DueWork, Work } from "../work/work.ts";
import type { WorkDone } from "../work/work-queue.ts";
import { deadLetterTopicOf, type Group, retryTopicOf } from "./group.ts";

export type GroupDeletion = Extract<Work, { kind: "delete-group" }>;

/** What remains of a group may be removed when whoever remembers it has forgotten it and his deadline is over. */
export function groupDeletionOf({ id: groupId, name, topics }: Group, now: number): DueWork {
  const topicIds = Object.values(topics).map(({ id }) => id);
  return {
    dueAt: now + limits.topicAgeMsMax + 2 * limits.appendDeadlineMs,
    work: { kind: "delete-group", groupId, name, topicIds },
  };
}

/** Its own topics go with the group, at once: what is made under its name again must not meet them. */
export async function deleteTopicsOf(io: Ports, topics: Topics, group: string): Promise<void> {
  for (const name of [retryTopicOf(group), deadLetterTopicOf(group)]) {
    try {
      await topics.delete(io, name);
    } catch (error) {
      if (!isBrokerError(error) || error.code !== "topic_not_found") throw error;
    }
  }
}

/** One bounded step of removing what belonged to a deleted group: a page of it, whichever is next. */
export async function doGroupDeletion(
  io: Ports,
  { groupId, topicIds }: GroupDeletion,
): Promise<WorkDone> {
  const members = await firstItems(io, partitions.members(groupId));
  if (members.length > 0) return await remove(io, members);
  for (const topicId of topicIds) {
    for (const consumer of await consumersIn(io, groupId, topicId)) {
      const states = await firstItems(io, partitions.queueStates(consumer));
      if (states.length > 0) return await remove(io, states);
      return await remove(io, [{ key: keys.consumerOf(consumer) }]);
    }
  }
  return { writes: [] };
}

async function remove(io: Ports, items: readonly Pick<Item, "key">[]): Promise<"again"> {
  await deleteItems(io, items);
  return "again";
}

async function firstItems(io: Ports, partition: Uint8Array): Promise<readonly Item[]> {
  const limit = storeLimits.commitWritesMax;
  return (await io.store.scan({ partition, limit, bytesMax: limits.pullBytesMax })).items;
}

/** The group itself, or each of its members where it broadcasts. */
async function consumersIn(io: Ports, groupId: number, topicId: number): Promise<ConsumerId[]> {
  const first = keys.consumerOf({ groupId, topicId, member: "" });
  const { items } = await io.store.scan({
    partition: first.partition,
    from: first.sort,
    limit: storeLimits.scanItemsMax,
  });
  return items
    .map(({ key }) => consumerOfKey(topicId, key.sort))
    .filter((consumer) => consumer.groupId === groupId);
}

export function groupHasMembers(group: string, members: readonly string[]): BrokerError {
  return new BrokerError(
    "group_has_members",
    `group ${group} has members; force does it all the same`,
    {
      group,
      members: members.slice(0, 10),
    },
  );
}
