import { recallHandleOf } from "../../../src/broker/timers/recall-handle.ts";
import type { Invariant } from "../auditor.ts";

/** Every attempt to send a delayed message is told the same instant and the same handle. */
export const attemptsNameOneTimer: Invariant = {
  name: "attempts name one timer",
  *check(seen) {
    for (const { uid, names } of seen.lastingDelayed()) {
      const handles = new Set(names.map(recallHandleOf));
      if (handles.size > 1) yield { what: `${uid} waits under ${[...handles].join(" and ")}`, uid };
    }
  },
};
