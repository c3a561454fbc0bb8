import type { Invariant } from "../auditor.ts";

/** An offset that was handed out as the next one is never out of range, and no end of a queue that was told ever goes back. */
export const readerStaysInRange: Invariant = {
  name: "reader stays in range",
  *check(seen) {
    const ends = new Map<string, { at: number; max: number }[]>();
    for (const { topic, queue, endedAt, max } of seen.pulls) {
      const name = `${topic}/${queue}`;
      ends.set(name, [...(ends.get(name) ?? []), { at: endedAt, max }]);
    }
    for (const { reader, topic, queue, from, startedAt, outOfRange } of seen.pulls) {
      if (!outOfRange || seen.volatile.has(topic)) continue;
      const known = ends
        .get(`${topic}/${queue}`)
        ?.some(({ at, max }) => at < startedAt && max >= from);
      if (known)
        yield {
          what: `${reader} was told that ${topic}/${queue}@${from} is out of range, after it was told to be within`,
        };
    }
    for (const { topic, queue, max } of seen.final) {
      const furthest = Math.max(0, ...(ends.get(`${topic}/${queue}`) ?? []).map((end) => end.max));
      if (furthest > max && !seen.volatile.has(topic))
        yield { what: `${topic}/${queue} ends at ${max}, after it was told to end at ${furthest}` };
    }
  },
};
