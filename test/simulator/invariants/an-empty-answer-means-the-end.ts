import type { Invariant } from "../auditor.ts";

/** Whoever is answered without a message is at the end of the queue: nobody waits for ever before what is there. */
export const anEmptyAnswerMeansTheEnd: Invariant = {
  name: "an empty answer means the end",
  *check(seen) {
    for (const { reader, topic, queue, from, messages, max, outOfRange } of seen.pulls) {
      if (outOfRange || messages.length > 0 || from === max) continue;
      yield { what: `${reader} got nothing from ${topic}/${queue}@${from}, which ends at ${max}` };
    }
  },
};
