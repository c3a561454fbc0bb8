import { limits } from "../../../src/broker/limits.ts";
import type { Invariant } from "../auditor.ts";

interface Told {
  readonly reader: string;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly min: number;
  readonly max: number;
}

/** Neither end of a queue that was told ever goes back, by more than the age at which a broker may tell it. */
export const endsNeverGoBack: Invariant = {
  name: "ends never go back",
  *check(seen) {
    const queues = new Map<string, Told[]>();
    const tell = (name: string, told: Told) => {
      const known = queues.get(name);
      if (known === undefined) queues.set(name, [told]);
      else known.push(told);
    };
    for (const pull of seen.pulls) {
      if (!seen.volatile.has(pull.topic)) tell(`${pull.topic}/${pull.queue}`, pull);
    }
    for (const { topic, queue, min, max } of seen.final) {
      const at = Number.POSITIVE_INFINITY;
      tell(`${topic}/${queue}`, { reader: "the auditor", startedAt: at, endedAt: at, min, max });
    }
    for (const [name, told] of queues) {
      const byEnd = [...told].sort((a, b) => a.endedAt - b.endedAt);
      const byStart = [...told].sort((a, b) => a.startedAt - b.startedAt);
      const furthest = { min: 0, max: 0 };
      let next = 0;
      for (const { reader, startedAt, min, max } of byStart) {
        for (let earlier = byEnd[next]; earlier !== undefined; earlier = byEnd[++next]) {
          if (earlier.endedAt >= startedAt - limits.directoryAgeMsMax) break;
          furthest.min = Math.max(furthest.min, earlier.min);
          furthest.max = Math.max(furthest.max, earlier.max);
        }
        if (min < furthest.min)
          yield { what: `${reader} was told that ${name} begins at ${min}, after ${furthest.min}` };
        if (max < furthest.max)
          yield { what: `${reader} was told that ${name} ends at ${max}, after ${furthest.max}` };
      }
    }
  },
};
