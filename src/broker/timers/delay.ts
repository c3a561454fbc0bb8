import { assert } from "../assert.ts";
import { BrokerError, invalid } from "../errors.ts";
import { limits } from "../limits.ts";

/** When a message is to be delivered: at most one of these. */
export interface Delay {
  /** Milliseconds since the epoch, by the broker's clock. */
  readonly deliverAt?: number | undefined;
  /** So long after the first attempt of the send (ms). */
  readonly delayMs?: number | undefined;
  /** RocketMQ's levels, 1 to 18. */
  readonly delayLevel?: number | undefined;
}

const [second, minute, hour] = [1_000, 60_000, 3_600_000];

/** RocketMQ's `messageDelayLevel`: 1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h. */
export const delayLevels: readonly number[] = [
  ...[1, 5, 10, 30].map((count) => count * second),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30].map((count) => count * minute),
  ...[1, 2].map((count) => count * hour),
];

/**
 * When a message is due; `undefined` where it does not wait. A delay counts from the first attempt, so that every attempt
 * is due at the same instant (rule 16 of the log). An instant that has passed is fine.
 */
export function deliveryTime(
  delay: Delay,
  firstAttemptAt: number,
  path: string,
): number | undefined {
  const { deliverAt, delayMs, delayLevel } = delay;
  // Nearly always, so nothing is made to find it out.
  if (deliverAt === undefined && delayMs === undefined && delayLevel === undefined)
    return undefined;
  const [first, another] = Object.entries({ deliverAt, delayMs, delayLevel }).filter(
    ([, value]) => value !== undefined,
  );
  assert(first !== undefined, "one of them is given");
  if (another !== undefined)
    throw invalid(`${path}.${another[0]}`, another[1], `absent where ${first[0]} is given`);
  const levelMs = delayLevel === undefined ? undefined : delayLevels[delayLevel - 1];
  if (delayLevel !== undefined && levelMs === undefined)
    throw invalid(`${path}.delayLevel`, delayLevel, `1 to ${delayLevels.length}`);
  const dueAt = deliverAt ?? firstAttemptAt + (delayMs ?? levelMs ?? 0);
  const latest = firstAttemptAt + limits.delayMsMax;
  if (dueAt > latest) {
    throw new BrokerError("invalid", `${path}.${first[0]} lies too far ahead`, {
      field: `${path}.${first[0]}`,
      given: first[1],
      allowed: `up to a year ahead, ${latest} as an instant`,
      rocketmqCode: 40012, // ILLEGAL_DELIVERY_TIME
    });
  }
  return dueAt;
}
