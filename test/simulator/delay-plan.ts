import { Dice } from "./dice.ts";

/** What a run has of messages that wait: in some runs nothing. */
export interface DelayPlan {
  readonly delayers: number;
  readonly recallers: number;
  /** Who delivers besides sweeps: a broker that walks all the time, brokers that alarms wake, or nobody. */
  readonly walking: "always" | "when rung" | "in sweeps";
  /** Clients draw their batch ids so that timers meet in so many shards. */
  readonly timerShards: number;
}

export function delayPlanOf(seed: number): DelayPlan {
  const dice = new Dice(seed ^ 0x3c6ef372);
  const some = dice.chance(0.6);
  return {
    delayers: some ? dice.between(1, 2) : 0,
    recallers: some ? dice.between(0, 2) : 0,
    walking: dice.pick(["always", "when rung", "when rung", "when rung", "when rung", "in sweeps"]),
    timerShards: dice.pick([1, 2, 8]),
  };
}
