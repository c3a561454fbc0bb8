import { Dice } from "./dice.ts";

/**
 * What a run is about. In most runs anything may go wrong; in the others what would hide one kind of accident is kept
 * away, because some need several things to come together.
 *
 * - `zombies`: brokers stop for hours while others seal, archive and delete what they were about to write behind.
 * - `neglect`: no alarm rings and nobody sweeps, so segments are found when their rows have expired.
 * - `eager sweeps`: what falls due while all sleep is done as soon as they wake, in the midst of their work.
 * - `consumers`: groups of every kind consume, and little else goes on. Every third seed.
 */
export type Climate = "consumers" | "mixed" | "zombies" | "neglect" | "eager sweeps";

export function climateOf(seed: number): Climate {
  if (seed % 3 === 0) return "consumers";
  const dice = new Dice(seed ^ 0x7f4a7c15);
  if (dice.chance(0.5)) return "mixed";
  return dice.pick(["zombies", "neglect", "eager sweeps"]);
}
