import { limits } from "../limits.ts";
import { decodeRecord, encodeRecord } from "../record.ts";
import { delayLevels } from "../timers/delay.ts";

/** Where a group begins in a queue of which it has consumed nothing: `at` is in ms since the epoch. */
export type StartPoint = "earliest" | "latest" | { readonly at: number };

export interface GroupSettings {
  /** One message group is held by one receiver at a time, and given out in its order, across retries. */
  readonly orderly: boolean;
  readonly from: StartPoint;
  /** A message is given out so often at most; then it is a dead letter. */
  readonly maxAttempts: number;
  /** How long a message waits after it was given back the first time, the second time, ... (ms); the last one stays. */
  readonly retryMs: readonly number[];
  /** Tag expressions by topic; a topic that is not named is consumed whole. */
  readonly filters: Readonly<Record<string, string>>;
  /** Every member consumes every queue, each with offsets of its own. */
  readonly broadcast: boolean;
  /** At most so many messages of one queue are in hand at once. */
  readonly maxInFlight: number;
  /** Nothing is given out. What is in hand can be acknowledged. */
  readonly paused: boolean;
}

/** A topic that a group consumes. */
export interface GroupTopic {
  /** Names are not identities: of a topic that was made again under its name nothing has been consumed. */
  readonly id: number;
  /** The queue of the group's retry topic in which messages of this topic come again. */
  readonly retryQueue: number;
}

export interface Group extends GroupSettings {
  readonly name: string;
  /** Minted at creation, never given again. */
  readonly id: number;
  readonly createdAt: number;
  readonly topics: Readonly<Record<string, GroupTopic>>;
}

export const defaultGroupSettings: GroupSettings = {
  orderly: false,
  from: "earliest",
  maxAttempts: limits.maxAttemptsDefault,
  /** RocketMQ's 16 steps from 10 s to 2 h: its delay levels from the third on. */
  retryMs: delayLevels.slice(2),
  filters: {},
  broadcast: false,
  /** RocketMQ's popInflightMessageThreshold. */
  maxInFlight: 10_000,
  paused: false,
};

/** Where what has to be consumed again waits. It belongs to the group alone: users cannot name it. */
export function retryTopicOf(group: string): string {
  return `%RETRY%${group}`;
}

/** Where what was given out too often ends, in its one queue. */
export function deadLetterTopicOf(group: string): string {
  return `%DLQ%${group}`;
}

/** How long a message waits that was given back after so many deliveries (ms). */
export function retryDelay({ retryMs }: Pick<GroupSettings, "retryMs">, attempt: number): number {
  return retryMs[Math.min(attempt, retryMs.length) - 1] ?? 0;
}

export function encodeGroup(group: Group): Uint8Array {
  return encodeRecord(group);
}

/** Throws `Damaged`. */
export function decodeGroup(value: Uint8Array): Group {
  return decodeRecord<Group>("group", value);
}
