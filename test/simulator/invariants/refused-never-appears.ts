import type { Invariant } from "../auditor.ts";

/** A message of which every attempt was refused is nowhere. */
export const refusedNeverAppears: Invariant = {
  name: "refused never appears",
  *check(seen) {
    for (const { topic, queue, messages } of seen.final) {
      for (const { offset, uid } of messages) {
        const attempts = seen.sent.get(uid)?.attempts ?? [];
        if (attempts.some(({ outcome }) => outcome !== "refused")) continue;
        yield { what: `${uid} was refused and lies at ${topic}/${queue}@${offset}`, uid };
      }
    }
  },
};
