import { limits } from "../limits.ts";
import type { AlarmId } from "../ports/alarm.ts";
import type { MinuteShard } from "../schema.ts";
import { startOf } from "./timer.ts";

/**
 * Whoever writes a message after it was due, by his own clock, tells so by an alarm. By the clock of the one who walks it
 * may have been due for so much longer then (ms).
 */
export const writtenLateMs = 2 * limits.clockErrorMsMax;

export function alarmOfMinute({ minute, shard }: MinuteShard): AlarmId {
  return `timers/${minute}/${shard}`;
}

/** The minute and shard that an alarm rings for; `undefined` for other alarms. */
export function minuteOfAlarm(id: AlarmId): MinuteShard | undefined {
  const [, minute, shard] = /^timers\/(\d+)\/(\d+)$/.exec(id) ?? [];
  return minute === undefined ? undefined : { minute: Number(minute), shard: Number(shard) };
}

/** Whoever is woken for a minute stays until nobody who began in it can still write into it. */
export function walkedUntil({ minute }: MinuteShard): number {
  return startOf(minute + 1) + writtenLateMs;
}
