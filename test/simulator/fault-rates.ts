import { climateOf } from "./climate.ts";
import { Dice } from "./dice.ts";

/** How often what goes wrong in one run, as probabilities of each port call or request. */
export interface FaultRates {
  /** The call is refused before anything happens. */
  readonly unavailable: number;
  /** The call gets lost on its way: not done, outcome unknown. */
  readonly lostRequest: number;
  /** Done, but the caller is not told: outcome unknown. */
  readonly lostReply: number;
  /** The caller is told "unknown"; it is done all the same, later. */
  readonly lateEffect: number;
  /** The adapter sends it twice. */
  readonly duplicate: number;
  readonly slow: number;
  /** The broker dies at the call, before or after it was done. */
  readonly crash: number;
  /** The broker stops for longer than a deadline may last, and goes on. */
  readonly stall: number;
  /** It stops for hours, while others archive and trim what it was about to read or write. */
  readonly longStall: number;
  /** The same where the end of a queue is read, besides. */
  readonly longStallAtTail: number;
  /** A client's request or reply is lost, or comes much later. */
  readonly lostCall: number;
  readonly lateCall: number;
  /** A blob or the answer to it gets lost. */
  readonly blobLost: number;
  /** The caller is told "unknown"; the blob appears all the same, minutes or hours later. */
  readonly lateBlob: number;
  /** The broker stops in the middle of a lone put, and puts when it goes on (law 7 of the store). */
  readonly putAfterDeadline: number;
  readonly alarmLost: number;
  readonly alarmTwice: number;
  readonly alarmLate: number;
  /** The engine removes expired items only now and then. */
  readonly expiredRemoved: number;
  /** Clocks of brokers differ from true time by up to so many ms. */
  readonly clockErrorMs: number;
}

export const noFaults: FaultRates = {
  unavailable: 0,
  lostRequest: 0,
  lostReply: 0,
  lateEffect: 0,
  duplicate: 0,
  slow: 0,
  crash: 0,
  stall: 0,
  longStall: 0,
  longStallAtTail: 0,
  lostCall: 0,
  lateCall: 0,
  blobLost: 0,
  lateBlob: 0,
  putAfterDeadline: 0,
  alarmLost: 0,
  alarmTwice: 0,
  alarmLate: 0,
  expiredRemoved: 0,
  clockErrorMs: 0,
};

/** Each run has rates of its own: some faults do not happen in it, some happen often. */
export function ratesOf(seed: number): FaultRates {
  const dice = new Dice(seed ^ 0x2545f491);
  const climate = climateOf(seed);
  const upTo = (most: number) => (dice.chance(0.25) ? 0 : most * dice.fraction() ** 2);
  const rates: FaultRates = {
    unavailable: upTo(0.08),
    lostRequest: upTo(0.08),
    lostReply: upTo(0.08),
    lateEffect: upTo(0.06),
    duplicate: upTo(0.08),
    slow: upTo(0.1),
    crash: upTo(0.012),
    stall: upTo(0.01),
    longStall: upTo(0.002),
    longStallAtTail: 0,
    lostCall: upTo(0.1),
    lateCall: upTo(0.1),
    blobLost: upTo(0.8),
    lateBlob: upTo(0.6),
    putAfterDeadline: upTo(0.09),
    alarmLost: upTo(0.4),
    alarmTwice: upTo(0.4),
    alarmLate: upTo(0.4),
    expiredRemoved: upTo(0.05),
    clockErrorMs: dice.pick([0, 20, 100, 250]),
  };
  if (climate === "consumers") return { ...rates, longStall: 0, alarmLost: rates.alarmLost / 4 };
  if (climate === "neglect") return { ...rates, alarmLost: 1 };
  if (climate === "eager sweeps")
    return { ...rates, unavailable: 0.05, lostReply: 0.05, alarmLost: 0, alarmLate: 0 };
  if (climate === "zombies") {
    const longStall = 0.003 + upTo(0.003);
    const stalls = { longStall, longStallAtTail: 10 * longStall };
    return { ...rates, ...stalls, crash: rates.crash / 10, alarmLost: 0 };
  }
  return rates;
}
