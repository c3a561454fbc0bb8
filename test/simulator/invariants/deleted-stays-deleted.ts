import { limits } from "../../../src/broker/limits.ts";
import type { Invariant } from "../auditor.ts";

/** A topic that is made again under the name of a deleted one meets nothing of it. */
export const deletedStaysDeleted: Invariant = {
  name: "deleted stays deleted",
  *check(seen) {
    // A broker may remember the old topic for so long.
    const forgottenAfter = limits.topicAgeMsMax + 2 * limits.clockErrorMsMax;
    for (const { topic, startedAt, endedAt } of seen.deletions) {
      for (const pull of seen.pulls) {
        if (pull.topic !== topic || pull.startedAt <= endedAt + forgottenAfter) continue;
        for (const { uid, offset } of pull.messages) {
          const attempts = seen.sent.get(uid)?.attempts ?? [];
          if (
            attempts.some(
              (attempt) =>
                (attempt.endedAt ?? Number.POSITIVE_INFINITY) >= startedAt ||
                attempt.outcome === "unknown" ||
                attempt.repeated,
            )
          )
            continue;
          yield { what: `${uid} was seen at ${topic}@${offset} after the topic was deleted`, uid };
        }
      }
    }
  },
};
