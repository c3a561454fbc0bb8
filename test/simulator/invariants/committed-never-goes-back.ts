import type { Invariant, OffsetSeen } from "../auditor.ts";

/** Once a client was told a committed offset, nobody who asks later is told a lower one. */
export const committedNeverGoesBack: Invariant = {
  name: "committed never goes back",
  *check(seen) {
    const byQueue = new Map<string, OffsetSeen[]>();
    for (const each of seen.offsetsSeen) {
      if (seen.volatile.has(each.topic)) continue;
      const name = `${each.group} in ${each.topic}/${each.queue}`;
      byQueue.set(name, [...(byQueue.get(name) ?? []), each]);
    }
    for (const [name, all] of byQueue) {
      const end = { startedAt: Number.POSITIVE_INFINITY, offset: seen.finalOffsets.get(name) ?? 0 };
      for (const earlier of all) {
        for (const later of [...all, end]) {
          if (later.startedAt <= earlier.endedAt || later.offset >= earlier.offset) continue;
          yield { what: `${name}: ${later.offset} was told after ${earlier.offset}` };
        }
      }
    }
  },
};
