import type { Invariant } from "../auditor.ts";

/** A message of which every attempt was refused is nowhere. */
export const refusedNeverAppears: Invariant = {
  name: "refused never appears",
  *check(seen) {
    for (const { by, topic, queue, offset, uid } of seen.sightings()) {
      const attempts = seen.sent.get(uid)?.attempts ?? [];
      if (attempts.some(({ outcome }) => outcome !== "refused")) continue;
      yield { what: `${uid} was refused, and ${by} saw it at ${topic}/${queue}@${offset}`, uid };
    }
  },
};
