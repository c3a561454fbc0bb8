import type { Invariant } from "../auditor.ts";

/** What has been trimmed or deleted goes in the end, and the work of removing it as well. */
export const nothingIsLeftBehind: Invariant = {
  name: "nothing is left behind",
  *check(seen) {
    for (const what of seen.leftBehind) yield { what };
  },
};
