import type { Invariant } from "../auditor.ts";

/** A message appears at most once, however often its batch was tried; and every acknowledgement names the same place. */
export const landsOnce: Invariant = {
  name: "lands once",
  *check(seen) {
    const places = new Map<string, string>();
    for (const { topic, queue, messages } of seen.final) {
      for (const { offset, uid } of messages) {
        const place = `${topic}/${queue}@${offset}`;
        const other = places.get(uid);
        if (other !== undefined) yield { what: `${uid} lies at ${other} and at ${place}`, uid };
        places.set(uid, place);
      }
    }
    for (const { uid, attempts } of seen.lasting()) {
      const told = new Set(
        attempts
          .filter(({ outcome }) => outcome === "acknowledged")
          .map(({ queue, offset }) => `${queue}@${offset}`),
      );
      if (told.size > 1)
        yield { what: `${uid} was acknowledged at ${[...told].join(" and ")}`, uid };
    }
  },
};
