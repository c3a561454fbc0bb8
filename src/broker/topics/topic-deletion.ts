import { limits } from "../limits.ts";
import type { Ports } from "../ports/ports.ts";
import { type Item, type ScanRange, storeLimits } from "../ports/store.ts";
import { decodeRecord, encodeRecord } from "../record.ts";
import { keys, partitions, type QueueId, queueOffsetOf } from "../schema.ts";
import type { Topic } from "./topic.ts";

/** A note that all that lies under a topic id may be removed from `dueAt` on. */
export interface TopicDeletion {
  readonly topicId: number;
  readonly name: string;
  readonly queues: number;
  /** When no append can still be on its way: whoever remembers the topic has forgotten it, and his deadline is over. */
  readonly dueAt: number;
}

export const deletionAlarm = "topic-deletions";

export function deletionOf(topic: Topic, now: number): TopicDeletion {
  const dueAt = now + limits.topicAgeMsMax + 2 * limits.appendDeadlineMs;
  return { topicId: topic.id, name: topic.name, queues: topic.queues, dueAt };
}

export function encodeTopicDeletion(deletion: TopicDeletion): Uint8Array {
  return encodeRecord(deletion);
}

function decodeTopicDeletion(value: Uint8Array): TopicDeletion {
  return decodeRecord<TopicDeletion>("topic deletion", value);
}

/**
 * One bounded step of removing what belonged to deleted topics: one page of rows in one commit, whichever is next.
 * Answers whether more is due now, and when the next deletion is. Safe to repeat, to interrupt, and to run twice at once.
 */
export async function tickTopicDeletions(
  io: Ports,
): Promise<{ readonly more: boolean; readonly nextAt: number | undefined }> {
  const page = await io.store.scan({
    partition: partitions.deletions,
    limit: storeLimits.scanItemsMax,
  });
  const deletions = page.items.map((item) => decodeTopicDeletion(item.value));
  const due = deletions.find((deletion) => deletion.dueAt <= io.clock.now());
  if (due === undefined) {
    const nextAt = deletions.reduce(
      (next, { dueAt }) => Math.min(next, dueAt),
      Number.POSITIVE_INFINITY,
    );
    return { more: false, nextAt: Number.isFinite(nextAt) ? nextAt : undefined };
  }
  const items = await nextItemsOf(io, due);
  const removed = items.length > 0 ? items.map((item) => item.key) : [keys.deletion(due.topicId)];
  await io.store.commit(
    removed.map((key) => ({ kind: "delete", key })),
    io.clock.now() + limits.appendDeadlineMs,
  );
  return { more: true, nextAt: undefined };
}

/** Rows before the directory entry that leads to them, so that a sweep that was cut short finds the rest. */
async function nextItemsOf(
  io: Ports,
  { topicId, queues }: TopicDeletion,
): Promise<readonly Item[]> {
  for (let queue = 0; queue < queues; queue++) {
    const id: QueueId = { topicId, queue };
    const offsets = await firstItems(io, { partition: partitions.groupOffsets(id) });
    if (offsets.length > 0) return offsets;
    const [entry] = await firstItems(io, { partition: partitions.segments(id) });
    if (entry === undefined) continue;
    // The last rows first: a reader who is late sees a queue that is shorter, never one with a hole.
    const rows = await firstItems(io, {
      partition: partitions.batches(id, queueOffsetOf(entry.key.sort)),
      reverse: true,
    });
    return rows.length > 0 ? rows : [entry];
  }
  return [];
}

async function firstItems(io: Ports, range: Omit<ScanRange, "limit">): Promise<readonly Item[]> {
  const limit = storeLimits.commitWritesMax;
  return (await io.store.scan({ ...range, limit, bytesMax: limits.pullBytesMax })).items;
}
