import type { Invariant } from "../auditor.ts";

/** A message is there if its transaction was committed, and nowhere if it ended in another way. Where it was put stays with other invariants. */
export const outcomeIsVisible: Invariant = {
  name: "the outcome is visible",
  *check(seen) {
    const seenBy = new Map<string, string>();
    for (const { uid, by } of seen.seen()) seenBy.set(uid, by);
    for (const { uid, final, isForgotten = false } of seen.transactions.values()) {
      const by = seenBy.get(uid);
      if (final === undefined && isForgotten) continue;
      if (by !== undefined && final !== "COMMITTED")
        yield { what: `${by} saw ${uid}, which is ${final ?? "unknown"}`, uid };
    }
  },
};
