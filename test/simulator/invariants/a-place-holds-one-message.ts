import type { Invariant } from "../auditor.ts";

/** Whoever sees an offset, whenever, sees the same message there: readers, producers, and the auditor at the end. */
export const aPlaceHoldsOneMessage: Invariant = {
  name: "a place holds one message",
  *check(seen) {
    const found = new Map<string, { uid: string; by: string }>();
    for (const { by, topic, queue, offset, uid } of seen.sightings()) {
      const place = `${topic}/${queue}@${offset}`;
      const before = found.get(place);
      if (before === undefined) found.set(place, { uid, by });
      else if (before.uid !== uid)
        yield { what: `${by} saw ${uid} at ${place}, where ${before.by} saw ${before.uid}`, uid };
    }
  },
};
