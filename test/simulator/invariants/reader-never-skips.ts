import type { Invariant } from "../auditor.ts";

/** A pull answers the messages that follow its offset, each one; and what it answered stays until it is trimmed. */
export const readerNeverSkips: Invariant = {
  name: "reader never skips",
  *check(seen) {
    const final = new Map<string, string>();
    const mins = new Map<string, number>();
    for (const { topic, queue, min, messages } of seen.final) {
      mins.set(`${topic}/${queue}`, min);
      for (const { offset, uid } of messages) final.set(`${topic}/${queue}@${offset}`, uid);
    }
    for (const { reader, topic, queue, from, messages } of seen.pulls) {
      if (seen.volatile.has(topic)) continue;
      const trimmedUpTo = mins.get(`${topic}/${queue}`) ?? 0;
      let expected = from;
      for (const { offset, uid } of messages) {
        const place = `${topic}/${queue}@${offset}`;
        if (offset !== expected)
          yield { what: `${reader} got ${place} where ${expected} should come`, uid };
        if (offset >= trimmedUpTo && final.get(place) !== uid)
          yield {
            what: `${reader} saw ${uid} at ${place}, where ${final.get(place) ?? "nothing"} lies`,
            uid,
          };
        expected = offset + 1;
      }
    }
  },
};
