import type { Invariant } from "../auditor.ts";

/** What lies in the log was acknowledged, is a dead letter, or is given out to whoever asks last. */
export const nothingIsForgotten: Invariant = {
  name: "nothing is forgotten",
  *check({ consumption, final }) {
    const { deliveries, deadLetters, drained } = consumption;
    for (const [group, given] of drained) {
      const done = new Set(given);
      for (const each of deliveries)
        if (each.group === group && each.maybeAcknowledged) done.add(each.place);
      for (const each of deadLetters) if (each.group === group) done.add(each.place);
      for (const { topic, queue, messages } of final) {
        if (topic !== "orders") continue;
        for (const { offset, uid } of messages) {
          const place = `${topic}/${queue}@${offset}`;
          if (!done.has(place)) yield { what: `${group} is never given ${place} again`, uid };
        }
      }
    }
  },
};
