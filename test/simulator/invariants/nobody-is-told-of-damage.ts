import type { Invariant } from "../auditor.ts";

/** No reader is told that bytes are damaged or a queue is gone, for none are. */
export const nobodyIsToldOfDamage: Invariant = {
  name: "nobody is told of damage",
  *check(seen) {
    for (const { reader, place, what } of seen.damages)
      yield { what: `${reader} was told that ${place} is ${what}` };
  },
};
