import type { Invariant } from "../auditor.ts";

/** A pull answers the messages that follow its offset, each one, and always the same ones. */
export const readerNeverSkips: Invariant = {
  name: "reader never skips",
  *check(seen) {
    const final = new Map<string, string>();
    for (const { topic, queue, messages } of seen.final) {
      for (const { offset, uid } of messages) final.set(`${topic}/${queue}@${offset}`, uid);
    }
    for (const { reader, topic, queue, from, messages } of seen.pulls) {
      if (seen.volatile.has(topic)) continue;
      let expected = from;
      for (const { offset, uid } of messages) {
        const place = `${topic}/${queue}@${offset}`;
        if (offset !== expected)
          yield { what: `${reader} got ${place} where ${expected} should come`, uid };
        if (final.get(place) !== uid)
          yield {
            what: `${reader} saw ${uid} at ${place}, where ${final.get(place) ?? "nothing"} lies`,
            uid,
          };
        expected = offset + 1;
      }
    }
  },
};
