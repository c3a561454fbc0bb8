import type { Invariant } from "../auditor.ts";

/** A message lies at one place only, however often its batch was tried, and whoever saw it there, trimmed since or not. */
export const landsOnce: Invariant = {
  name: "lands once",
  *check(seen) {
    const places = new Map<string, { place: string; by: string }>();
    for (const { by, topic, queue, offset, uid } of seen.sightings()) {
      const place = `${topic}/${queue}@${offset}`;
      const before = places.get(uid);
      if (before === undefined) places.set(uid, { place, by });
      else if (before.place !== place)
        yield { what: `${by} saw ${uid} at ${place}, and ${before.by} at ${before.place}`, uid };
    }
  },
};
