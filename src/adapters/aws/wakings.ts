import { createHash } from "node:crypto";
import { type AlarmId, isAlarmId } from "../../broker/ports/alarm.ts";

/** The event that wakes the on-alarm function. */
export interface Waking {
  readonly alarm: AlarmId;
}

/** Whoever delivers an event may add fields of his own. */
export function isWaking(event: unknown): event is Waking {
  if (typeof event !== "object" || event === null || !("alarm" in event)) return false;
  return typeof event.alarm === "string" && isAlarmId(event.alarm);
}

const minuteMs = 60_000;
const leadMsMin = minuteMs;

/** An alarm that is due sooner is not worth a schedule: the function is called now and waits. */
export const nearMs = 125_000;

/** The woken waits for so long at most. A schedule wakes it less than two minutes early; clocks may differ by one more. */
export const waitMsMax = nearMs + minuteMs;

/**
 * When a schedule has to begin to wake for an instant: on a full minute, because the Scheduler fires at any second of the
 * minute that it is given, and so much before that it is never late. For an instant that is not near it lies ahead.
 */
export function wakeAt(at: number): number {
  return Math.floor((at - leadMsMin) / minuteMs) * minuteMs;
}

/** A one-time schedule in UTC. */
export function scheduleExpression(instant: number): string {
  return `at(${new Date(instant).toISOString().slice(0, 19)})`;
}

const plainCharsMax = 32;

/**
 * The name of the schedule that wakes at `instant`: at most 64 characters of `A-Z a-z 0-9 . _ -`. It names the minute:
 * whoever is being woken and sets his alarm anew must not take the schedule that is just being deleted for his own.
 */
export function scheduleName(id: AlarmId, instant: number): string {
  return `${nameOf(id)}-${instant / minuteMs}`;
}

/** An id that is no name, or a long one, becomes its beginning and its hash: longer than any that stays as it is. */
function nameOf(id: AlarmId): string {
  if (id.length <= plainCharsMax && !id.includes("/")) return id;
  const hash = createHash("sha256").update(id).digest("hex").slice(0, plainCharsMax);
  return `${id.slice(0, 20).replaceAll("/", "_")}.${hash}`;
}
