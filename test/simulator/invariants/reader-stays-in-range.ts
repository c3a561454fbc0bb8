import type { Invariant } from "../auditor.ts";

/** An offset that was handed out as the next one is never beyond the end, and one that was told to be there is not below the first unless that moved. */
export const readerStaysInRange: Invariant = {
  name: "reader stays in range",
  *check(seen) {
    const ends = new Map<string, { at: number; max: number }[]>();
    for (const { topic, queue, endedAt, max } of seen.pulls) {
      const name = `${topic}/${queue}`;
      const known = ends.get(name);
      if (known === undefined) ends.set(name, [{ at: endedAt, max }]);
      else known.push({ at: endedAt, max });
    }
    for (const { reader, topic, queue, from, startedAt, outOfRange, min, max } of seen.pulls) {
      if (!outOfRange) continue;
      const place = `${topic}/${queue}@${from}`;
      if (from >= min && from <= max)
        yield { what: `${reader} was told that ${place} is out of ${min} to ${max}` };
      if (from < min || seen.volatile.has(topic)) continue;
      const known = ends
        .get(`${topic}/${queue}`)
        ?.some((end) => end.at < startedAt && end.max >= from);
      if (known)
        yield {
          what: `${reader} was told that ${place} is out of range, after it was told to be within`,
        };
    }
  },
};
