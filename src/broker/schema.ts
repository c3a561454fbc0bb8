import { concatBytes, readU64, utf8, writeU16, writeU32, writeU64 } from "./bytes.ts";
import type { Key } from "./ports/store.ts";

/**
 * The store's layout on one screen. The first byte of a partition says what lies in it; it is kept in data folders
 * and tables, so a letter is never given a second meaning.
 *
 * | letter | partition            | sort          | value          | written                    |
 * |--------|----------------------|---------------|----------------|----------------------------|
 * | T      | (one)                | topic name    | topic          | by compare and set         |
 * | I      | (one)                | "topic"       | last topic id  | by compare and set         |
 * | S      | topic, queue         | base offset   | segment        | made with its predecessor  |
 * | B      | topic, queue, base   | base offset   | batch row      | once                       |
 * | G      | topic, queue         | group name    | group offset   | by compare and set         |
 * | D      | (one)                | topic         | topic deletion | by compare and set         |
 *
 * A topic stands in every key by its numeric id, so one that is made again under the name of a deleted one meets
 * nothing of it.
 */

/** A queue of a topic: the unit of order, and of contention. */
export interface QueueId {
  readonly topicId: number;
  readonly queue: number;
}

export const partitions = {
  topics: utf8("T"),
  deletions: utf8("D"),
  segments: (queue: QueueId) => queuePartition("S", queue),
  batches: (queue: QueueId, segmentBase: number) =>
    concatBytes([queuePartition("B", queue), offsetKey(segmentBase)]),
  groupOffsets: (queue: QueueId) => queuePartition("G", queue),
} as const;

export const keys = {
  topic: (name: string): Key => ({ partition: partitions.topics, sort: utf8(name) }),
  lastTopicId: { partition: utf8("I"), sort: utf8("topic") } satisfies Key,
  segment: (queue: QueueId, base: number): Key => ({
    partition: partitions.segments(queue),
    sort: offsetKey(base),
  }),
  groupOffset: (queue: QueueId, group: string): Key => ({
    partition: partitions.groupOffsets(queue),
    sort: utf8(group),
  }),
  deletion: (topicId: number): Key => ({ partition: partitions.deletions, sort: u32(topicId) }),
} as const;

/** A queue offset as a sort key. */
export function offsetKey(offset: number): Uint8Array {
  const bytes = new Uint8Array(8);
  writeU64(bytes, 0, offset);
  return bytes;
}

export function queueOffsetOf(sort: Uint8Array): number {
  return readU64(sort, 0);
}

/** A queue as a map key. */
export function queueName({ topicId, queue }: QueueId): string {
  return `${topicId}/${queue}`;
}

function queuePartition(letter: string, { topicId, queue }: QueueId): Uint8Array {
  const bytes = new Uint8Array(7);
  bytes.set(utf8(letter));
  writeU32(bytes, 1, topicId);
  writeU16(bytes, 5, queue);
  return bytes;
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeU32(bytes, 0, value);
  return bytes;
}
