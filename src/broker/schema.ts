import {
  concatBytes,
  hex,
  readU16,
  readU32,
  readU64,
  utf8,
  writeU16,
  writeU32,
  writeU64,
} from "./bytes.ts";
import type { BlobKey } from "./ports/blobs.ts";
import type { Key } from "./ports/store.ts";

/**
 * The layout of the store and of the blobs on one screen. The first byte of a partition says what lies in it; it is kept in data folders
 * and tables, so a letter is never given a second meaning.
 *
 * | letter | partition                | sort          | value         | written                            |
 * |--------|--------------------------|---------------|---------------|------------------------------------|
 * | T      | (one)                    | topic name    | topic         | by compare and set                 |
 * | I      | (one)                    | "topic"       | last topic id | by compare and set                 |
 * | I      | (one)                    | "group"       | last group id | by compare and set                 |
 * | S      | topic, queue             | base offset   | segment       | made when its predecessor is ended |
 * | B      | topic, queue, base, part | base offset   | batch row     | once                               |
 * | W      | (one)                    | due time, id  | work item     | with what makes it necessary       |
 * | M      | minute, shard            | due time, id  | timer         | once, then turned once             |
 * | N      | (one)                    | minute, shard | minute entry  | with the first timer of the minute |
 * | X      | shard                    | id            | transaction   | once, then turned                  |
 * | Q      | shard, producer group    | due time, id  | check entry   | with its half, moved by each check |
 * | E      | (one)                    | group name    | producer group| by compare and set                 |
 * | U      | name                     | anything      | anything      | by whoever embeds the broker       |
 * | C      | (one)                    | group name    | group         | by compare and set                 |
 * | H      | group                    | client id     | membership    | by each heartbeat; expires         |
 * | H      | group                    | (zero)        | assignment    | by compare and set                 |
 * | K      | topic                    | group, member | nothing       | before the first state of a group  |
 * | R      | group, topic, member     | queue         | queue state   | by compare and set                 |
 * | F      | group, shard             | id            | forward       | once, with what it did; expires    |
 *
 * | blob                                    | holds                                                        |
 * |-----------------------------------------|--------------------------------------------------------------|
 * | segments/{topic}/{queue}/{base}.{part}  | the rows of an archived segment                              |
 * | large/{last day of use}/{object}        | batches of one request that are too large for rows           |
 *
 * A topic and a group stand in every key by their numeric ids, so one that is made again under the name of a deleted one
 * meets nothing of it. A member is named only where a group broadcasts; otherwise its part of the key is empty. G was the
 * letter of committed offsets before they became part of the state of a queue.
 */

/** A queue of a topic: the unit of order, and of contention. */
export interface QueueId {
  readonly topicId: number;
  readonly queue: number;
}

/** Whose progress it is in one topic: that of a group, or of one member where the group broadcasts. */
export interface ConsumerId {
  readonly groupId: number;
  readonly topicId: number;
  /** Empty where all members share their progress. */
  readonly member: string;
}

/** The place of a group's retry queue among the states of a topic: behind all of its own. */
export const retryPlace = 0xffff;

/** Timers that are due in one minute (since the epoch), in so many shards that a flood of them spreads. */
export interface MinuteShard {
  readonly minute: number;
  readonly shard: number;
}

/** Transactions, and the checks of a producer group, lie in so many partitions each, so that many can be written at once. */
export const transactionShards = 16;
export const checkShards = 4;
/** What a group forwarded lies in so many partitions. */
export const forwardShards = 16;

/** A segment of a queue. Of several parts with one base only the last one ever holds messages. */
export interface SegmentId {
  readonly base: number;
  readonly part: number;
}

export const partitions = {
  topics: utf8("T"),
  work: utf8("W"),
  segments: (queue: QueueId) => queuePartition("S", queue),
  minutes: utf8("N"),
  timers: ({ minute, shard }: MinuteShard) =>
    concatBytes([utf8("M"), u32(minute), Uint8Array.of(shard)]),
  batches: (queue: QueueId, segment: SegmentId) =>
    concatBytes([queuePartition("B", queue), offsetKey(segment.base), u16(segment.part)]),
  groupOffsets: (queue: QueueId) => queuePartition("G", queue),
  transactions: (shard: number) => concatBytes([utf8("X"), Uint8Array.of(shard)]),
  checks: (shard: number, producerGroup: string) =>
    concatBytes([utf8("Q"), Uint8Array.of(shard), utf8(producerGroup)]),
  producerGroups: utf8("E"),
  /** Rows of whoever embeds the broker. */
  own: (name: string) => concatBytes([utf8("U"), utf8(name)]),
  groups: utf8("C"),
  members: (groupId: number) => concatBytes([utf8("H"), u32(groupId)]),
  consumersOf: (topicId: number) => concatBytes([utf8("K"), u32(topicId)]),
  forwards: (groupId: number, shard: number) =>
    concatBytes([utf8("F"), u32(groupId), Uint8Array.of(shard)]),
  queueStates: ({ groupId, topicId, member }: ConsumerId) =>
    concatBytes([utf8("R"), u32(groupId), u32(topicId), utf8(member)]),
} as const;

export const keys = {
  topic: (name: string): Key => ({ partition: partitions.topics, sort: utf8(name) }),
  lastTopicId: { partition: utf8("I"), sort: utf8("topic") } satisfies Key,
  segment: (queue: QueueId, base: number): Key => ({
    partition: partitions.segments(queue),
    sort: offsetKey(base),
  }),
  lastGroupId: { partition: utf8("I"), sort: utf8("group") } satisfies Key,
  group: (name: string): Key => ({ partition: partitions.groups, sort: utf8(name) }),
  assignment: (groupId: number): Key => ({
    partition: partitions.members(groupId),
    sort: Uint8Array.of(0),
  }),
  member: (groupId: number, clientId: string): Key => ({
    partition: partitions.members(groupId),
    sort: utf8(clientId),
  }),
  consumerOf: ({ groupId, topicId, member }: ConsumerId): Key => ({
    partition: partitions.consumersOf(topicId),
    sort: concatBytes([u32(groupId), utf8(member)]),
  }),
  queueState: (consumer: ConsumerId, queue: number): Key => ({
    partition: partitions.queueStates(consumer),
    sort: u16(queue),
  }),
  forward: (groupId: number, id: Uint8Array): Key => ({
    partition: partitions.forwards(groupId, (id[0] ?? 0) % forwardShards),
    sort: id,
  }),
  timer: (minuteShard: MinuteShard, dueAt: number, id: Uint8Array): Key => ({
    partition: partitions.timers(minuteShard),
    sort: concatBytes([offsetKey(dueAt), id]),
  }),
  minute: ({ minute, shard }: MinuteShard): Key => ({
    partition: partitions.minutes,
    sort: concatBytes([u32(minute), Uint8Array.of(shard)]),
  }),
  transaction: (id: Uint8Array): Key => ({
    partition: partitions.transactions(transactionShard(id)),
    sort: id,
  }),
  check: (producerGroup: string, dueAt: number, id: Uint8Array): Key => ({
    partition: partitions.checks((id[0] ?? 0) % checkShards, producerGroup),
    sort: concatBytes([offsetKey(dueAt), id]),
  }),
  own: (name: string, sort: Uint8Array): Key => ({ partition: partitions.own(name), sort }),
  producerGroup: (name: string): Key => ({
    partition: partitions.producerGroups,
    sort: utf8(name),
  }),
  work: (dueAt: number, id: string): Key => ({
    partition: partitions.work,
    sort: concatBytes([offsetKey(dueAt), utf8(id)]),
  }),
} as const;

/** The key of a row of whoever embeds the broker. `name` is that of his table, at most 200 bytes, `sort` 1 to 1,024 bytes. */
export function ownKey(name: string, sort: Uint8Array): Key {
  return keys.own(name, sort);
}

/** The partition that his rows of this name lie in, for a scan of them. */
export function ownPartition(name: string): Uint8Array {
  return partitions.own(name);
}

/** Whether a key belongs to whoever embeds the broker. */
export function isOwn({ partition }: Key): boolean {
  return partition[0] === partitions.own("")[0];
}

/** Which partition of transactions an id belongs to. */
export function transactionShard(id: Uint8Array): number {
  return (id[0] ?? 0) % transactionShards;
}

/** The blobs that hold what a topic's archived segments held. */
export function archivePrefix(topicId: number): string {
  return `segments/${topicId}/`;
}

export function archiveKey({ topicId, queue }: QueueId, { base, part }: SegmentId): BlobKey {
  return `${archivePrefix(topicId)}${queue}/${String(base).padStart(16, "0")}.${part}`;
}

/** The large batches that nobody needs once this day has passed. */
export function largeObjectPrefix(day: number): string {
  return `large/${String(day).padStart(7, "0")}/`;
}

export function largeObjectKey(day: number, object: Uint8Array): BlobKey {
  return largeObjectPrefix(day) + hex(object);
}

/** A queue offset as a sort key. */
export function offsetKey(offset: number): Uint8Array {
  const bytes = new Uint8Array(8);
  writeU64(bytes, 0, offset);
  return bytes;
}

export function queueOffsetOf(sort: Uint8Array): number {
  return readU64(sort, 0);
}

/** Which minute and shard an entry of theirs is for. */
export function minuteShardOf(sort: Uint8Array): MinuteShard {
  return { minute: readU32(sort, 0), shard: sort[4] ?? 0 };
}

/** When a work item, a timer or a check is due, from its sort key (ms). */
export function dueAtOf(sort: Uint8Array): number {
  return readU64(sort, 0);
}

/** The key of the same work item at another due time. */
export function keyPutOff({ partition, sort }: Key, dueAt: number): Key {
  const id = sort.subarray(offsetKey(dueAt).length);
  return { partition, sort: concatBytes([offsetKey(dueAt), id]) };
}

/** Which consumer an entry of a topic is for. */
export function consumerOfKey(topicId: number, sort: Uint8Array): ConsumerId {
  return { groupId: readU32(sort, 0), topicId, member: decoder.decode(sort.subarray(4)) };
}

/** The queue of a state, from its sort key. */
export function queueOfState(sort: Uint8Array): number {
  return readU16(sort, 0);
}

const decoder = new TextDecoder();

/** A minute and shard as a map key. */
export function minuteShardName({ minute, shard }: MinuteShard): string {
  return `${minute}/${shard}`;
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

function u16(value: number): Uint8Array {
  const bytes = new Uint8Array(2);
  writeU16(bytes, 0, value);
  return bytes;
}
