import { newVersion } from "../chance.ts";
import { limits } from "../limits.ts";
import type { Batch } from "../log/batch.ts";
import type { Ports } from "../ports/ports.ts";
import type { Item, Put } from "../ports/store.ts";
import { dueAtOf, keys } from "../schema.ts";
import {
  encodeTimer,
  minuteShardOfTimer,
  type Timer,
  type TimerName,
  type TimerTarget,
} from "./timer.ts";

/** A message that is to wait. */
export interface NewTimer extends TimerTarget, TimerName {
  readonly messageId: string;
  readonly batch: Batch;
}

/** Refused where an earlier attempt put it, whatever became of it since. */
export function waitingPut(io: Ports, timer: NewTimer): Put {
  const { dueAt, id, batch, topic, topicId, queue, messageId } = timer;
  const record: Timer = {
    topic,
    topicId,
    queue,
    messageId,
    checksum: batch.checksum,
    state: "waiting",
  };
  return {
    kind: "put",
    key: keys.timer(minuteShardOfTimer(timer), dueAt, id),
    value: encodeTimer(record, batch),
    version: newVersion(io.random),
    expect: "absent",
  };
}

/** What became of a timer: kept for a day from when it is due, and longer than any attempt of the same send comes (rule 17 of the log). */
export function turn(io: Ports, { key, version }: Item, timer: Timer) {
  const kept = Math.max(io.clock.now(), dueAtOf(key.sort)) + limits.timerKeptMs;
  return {
    kind: "put",
    key,
    value: encodeTimer(timer),
    version: newVersion(io.random),
    expiresAt: kept,
    expect: { version },
  } as const;
}
