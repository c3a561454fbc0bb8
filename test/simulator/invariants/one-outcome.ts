import type { Invariant } from "../auditor.ts";

/** Everybody is told the same of how a transaction ended and where its message lies, and so it stays. */
export const oneOutcome: Invariant = {
  name: "one outcome",
  *check(seen) {
    for (const { uid, told, final } of seen.transactions.values()) {
      const outcomes = new Set(told.map(({ state, place = "" }) => `${state} ${place}`));
      const states = new Set(told.map(({ state }) => state));
      if (outcomes.size > 1)
        yield { what: `${uid} ended as ${[...outcomes].join(" and as ")}`, uid };
      for (const state of states) {
        if (final !== state) yield { what: `${uid} ended as ${state}, and is ${final} now`, uid };
      }
    }
  },
};
