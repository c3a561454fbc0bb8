import type { Invariant, Seeing } from "../auditor.ts";

/** Along a queue no message was stored before the one that it follows: by this it is found by its time. */
export const timesNeverFall: Invariant = {
  name: "times never fall",
  *check(seen) {
    const queues = new Map<string, Map<number, Seeing>>();
    for (const each of seen.seen()) {
      const name = `${each.topic}/${each.queue}`;
      const known = queues.get(name);
      if (known === undefined) queues.set(name, new Map([[each.offset, each]]));
      else known.set(each.offset, each);
    }
    for (const [name, messages] of queues) {
      let latest = 0;
      for (const { offset, uid, storedAt } of [...messages.values()].sort(byOffset)) {
        if (storedAt < latest)
          yield { what: `${name}@${offset} was stored at ${storedAt}, after ${latest}`, uid };
        latest = Math.max(latest, storedAt);
      }
    }
  },
};

function byOffset(a: Seeing, b: Seeing): number {
  return a.offset - b.offset;
}
