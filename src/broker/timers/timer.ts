import { assert } from "../assert.ts";
import { concatBytes, readU16, writeU16 } from "../bytes.ts";
import type { Batch } from "../log/batch.ts";
import { batchOf, encodeWithBatch, hasBatch, recordOf } from "../log/record-with-batch.ts";
import type { Item } from "../ports/store.ts";
import { dueAtOf, type MinuteShard } from "../schema.ts";

/** Where a waiting message is bound for. The topic is its id too: one made again under the name is another. */
export interface TimerTarget {
  readonly topic: string;
  readonly topicId: number;
  readonly queue: number;
}

/** A message that waits, or waited. What it became is kept for a day, so that every later question is answered truthfully. */
export type TimerState =
  | { readonly state: "waiting" }
  | { readonly state: "delivered"; readonly offset: number; readonly deliveredAt: number }
  | { readonly state: "recalled" }
  /** Its topic was deleted before it was due. */
  | { readonly state: "dropped" };

export type Timer = TimerTarget & {
  readonly messageId: string;
  /** Of its batch: another payload under the same id is refused. */
  readonly checksum: number;
} & TimerState;

/** The timer's part of the store: its record and, while it waits, the row that its batch will be. */
export function encodeTimer(timer: Timer, batch?: Batch): Uint8Array[] {
  return encodeWithBatch(timer, batch);
}

/** Throws `Damaged`. */
export function decodeTimer(item: Item): Timer {
  return recordOf<Timer>("timer", item);
}

/** Whether a timer has not been turned, by its length alone: who walks a minute meets thousands that have been. */
export function isWaiting(item: Item): boolean {
  return hasBatch(item);
}

/** The batch of a timer that waits. Throws `Damaged`. */
export function waitingBatch(item: Item): Batch {
  return batchOf("timer", item);
}

/** Names a timer for those who recall it: when it is due, and its id. */
export interface TimerName {
  readonly dueAt: number;
  /** Made from the batch id, so that every attempt of a send names the same (rule 16 of the log). */
  readonly id: Uint8Array;
}

export const timerIdBytes = 20;
const minuteMs = 60_000;
export const timerShards = 8;

/** Of one minute, spread by the last bytes of the batch id. */
export function minuteShardOfTimer({ dueAt, id }: TimerName): MinuteShard {
  assert(id.length === timerIdBytes, "a timer id has 20 bytes");
  return { minute: minuteOf(dueAt), shard: (id[15] ?? 0) % timerShards };
}

export function minuteOf(at: number): number {
  return Math.floor(at / minuteMs);
}

export function startOf(minute: number): number {
  return minute * minuteMs;
}

/** The id of the message `index` of a batch that goes to `queue`. */
export function timerId(batchId: Uint8Array, queue: number, index: number): Uint8Array {
  const place = new Uint8Array(4);
  writeU16(place, 0, queue);
  writeU16(place, 2, index);
  return concatBytes([batchId, place]);
}

/** Of the batch that waits, as {@link timerId} was given it. */
export function queueOfTimer(item: Item): number {
  return readU16(timerNameOf(item).id, 16);
}

export function timerNameOf({ key }: Item): TimerName {
  return { dueAt: dueAtOf(key.sort), id: key.sort.subarray(8) };
}
