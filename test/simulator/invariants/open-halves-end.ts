import { limits } from "../../../src/broker/limits.ts";
import type { Invariant } from "../auditor.ts";

/** A half that nobody ends is asked about at most so often, by one at a time, and is discarded in the end. */
export const openHalvesEnd: Invariant = {
  name: "open halves end",
  *check(seen) {
    for (const { uid, checks, final } of seen.transactions.values()) {
      if (final === "PREPARED") yield { what: `${uid} is still open`, uid };
      const numbers = checks.map(({ check }) => check).sort((a, b) => a - b);
      if (new Set(numbers).size < numbers.length)
        yield { what: `one check of ${uid} was given to two: ${numbers.join(" ")}`, uid };
      if ((numbers.at(-1) ?? 0) > limits.checksMaxDefault)
        yield { what: `${uid} was checked ${numbers.at(-1)} times`, uid };
      const inOrder = checks.toSorted((a, b) => a.check - b.check);
      for (const [index, later] of inOrder.entries()) {
        const before = inOrder[index - 1];
        const leaseMs = limits.checkEveryMsDefault - 2 * limits.clockErrorMsMax;
        if (before !== undefined && later.toldAt < before.askedAt + leaseMs)
          yield { what: `${later.by} was given ${uid} while ${before.by} had it`, uid };
      }
    }
  },
};
