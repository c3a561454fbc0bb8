import { limits } from "../../../src/broker/limits.ts";
import type { Invariant } from "../auditor.ts";

const hour = 3_600_000;

/**
 * A transaction ends as its producers' database says, if it is ended at all; and where a webhook answers, it is ended before
 * it is given up.
 */
export const theDatabaseDecides: Invariant = {
  name: "the database decides",
  *check(seen) {
    for (const transaction of seen.transactions.values()) {
      const { uid, decided, isContested = false, unknowns = 0, checks, final } = transaction;
      const isEnded = final === "COMMITTED" || final === "ROLLED_BACK";
      const wanted = decided === "commit" ? "COMMITTED" : "ROLLED_BACK";
      if (isEnded && !isContested && final !== wanted)
        yield { what: `${uid} was decided as ${decided}, and is ${final}`, uid };
      // Now and then everybody sleeps for days.
      const isOld = seen.finalAt - transaction.begunAt > limits.halfOpenMsMax - hour;
      const isExhausted = isOld || unknowns + checks.length >= limits.checksMaxDefault;
      if (seen.hasWebhook && final === "DISCARDED" && !isExhausted)
        yield { what: `${uid} was given up, and its webhook was asked ${unknowns} times`, uid };
    }
  },
};
