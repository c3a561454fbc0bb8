import type { Invariant } from "../auditor.ts";

/** When everything has come to rest, every queue can be read from its first offset to its last. */
export const everythingCanBeRead: Invariant = {
  name: "everything can be read",
  *check(seen) {
    for (const { topic, queue, unreadable } of seen.final) {
      if (unreadable !== undefined) yield { what: `${topic}/${queue}: ${unreadable}` };
    }
    for (const what of seen.forwarding.unreadable) yield { what };
  },
};
