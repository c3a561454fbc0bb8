import type { Clock } from "../../broker/ports/clock.ts";
import { Unavailable } from "../../broker/ports/failures.ts";

/**
 * What befalls one port call.
 *
 * - `refuse`: throws `Unavailable`, nothing was done.
 * - `fail-before`: the call was lost on its way; the caller cannot know that nothing was done.
 * - `fail-after`: it was done and the reply was lost.
 * - `duplicate`: it is done twice in a row; the caller hears the second answer.
 * - `delayMs`: it is done so much later.
 */
export type Fault =
  | "none"
  | "refuse"
  | "fail-before"
  | "fail-after"
  | "duplicate"
  | { readonly delayMs: number };

export interface PortCall {
  readonly port: "store" | "blobs" | "alarm";
  readonly method: string;
}

/** Asked once before every call. */
export type FaultPlan = (call: PortCall) => Fault;

export interface Faults {
  readonly plan: FaultPlan;
  readonly clock: Clock;
}

/** Runs one call under a fault. `lost` is how a port says that it does not know. */
export async function runUnderFault<T>(
  fault: Fault,
  clock: Clock,
  run: () => Promise<T>,
  lost: () => T,
): Promise<T> {
  switch (fault) {
    case "none":
      return run();
    case "refuse":
      throw new Unavailable("a fault refused the call");
    case "fail-before":
      return lost();
    case "fail-after":
      await run();
      return lost();
    case "duplicate":
      return runTwice(run, lost);
    default:
      await clock.sleep(fault.delayMs);
      return run();
  }
}

async function runTwice<T>(run: () => Promise<T>, lost: () => T): Promise<T> {
  await run();
  try {
    return await run();
  } catch (error) {
    // The second had no effect, but the first did: `Unavailable` would be a lie.
    if (error instanceof Unavailable) return lost();
    throw error;
  }
}

/** For calls that only read or that anybody may repeat: the caller does the same either way. */
export function throwUnavailable(): never {
  throw new Unavailable("a fault swallowed the reply");
}

export interface FaultRates {
  /** Each from 0 to 1, together at most 1. */
  readonly refuse?: number;
  readonly failBefore?: number;
  readonly failAfter?: number;
  readonly duplicate?: number;
  readonly delay?: number;
  /** A delayed call waits 1 to so many milliseconds. */
  readonly delayMsMax?: number;
}

/** A plan that draws each call's fault. The same seed draws the same faults. */
export function randomFaults(options: {
  /** A seed, or a function that draws from 0 (inclusive) to 1 (exclusive). */
  readonly random: number | (() => number);
  readonly rates: FaultRates;
}): FaultPlan {
  const { refuse = 0, failBefore = 0, failAfter = 0, duplicate = 0, delay = 0 } = options.rates;
  const { delayMsMax = 1_000 } = options.rates;
  const draw = typeof options.random === "number" ? seededRandom(options.random) : options.random;
  const table: readonly [number, () => Fault][] = [
    [refuse, () => "refuse"],
    [failBefore, () => "fail-before"],
    [failAfter, () => "fail-after"],
    [duplicate, () => "duplicate"],
    [delay, () => ({ delayMs: 1 + Math.floor(draw() * delayMsMax) })],
  ];
  return () => {
    let rest = draw();
    for (const [rate, fault] of table) {
      if (rest < rate) return fault();
      rest -= rate;
    }
    return "none";
  };
}

/** Mulberry32: small, fast, and good enough to choose faults. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
