import { limits } from "../../../src/broker/limits.ts";
import type { Auditor, Invariant } from "../auditor.ts";

/**
 * A message stays for the shortest retention that its topic has had. One that is shortened concerns what lies there
 * already, for a queue is trimmed from its beginning, without holes.
 */
export const nothingIsTrimmedEarly: Invariant = {
  name: "nothing is trimmed early",
  *check(seen) {
    const kept = new Map<string, { uid: string; offset: number; sentAt: number }[]>();
    for (const { uid, topic, attempts } of seen.lasting()) {
      // It may have landed with its first attempt, whenever its producer was told.
      const sentAt = attempts[0]?.startedAt ?? 0;
      for (const { outcome, queue, offset = -1 } of attempts) {
        if (outcome !== "acknowledged") continue;
        const name = `${topic}/${queue}`;
        const known = kept.get(name);
        if (known === undefined) kept.set(name, [{ uid, offset, sentAt }]);
        else known.push({ uid, offset, sentAt });
      }
    }
    const told = [
      ...seen.pulls,
      ...seen.final.map((final) => ({ ...final, reader: "the auditor", endedAt: seen.finalAt })),
    ];
    for (const { reader, topic, queue, min, endedAt } of told) {
      const retentionMs = shortestRetention(seen, topic, endedAt);
      for (const { uid, offset, sentAt } of kept.get(`${topic}/${queue}`) ?? []) {
        const early = sentAt + retentionMs - endedAt;
        if (offset >= min || early <= clocksDiffer) continue;
        yield {
          what: `${reader} was told that ${topic}/${queue} begins at ${min}, ${early} ms before the retention of ${offset} is over`,
          uid,
        };
      }
    }
  },
};

const clocksDiffer = 4 * limits.clockErrorMsMax;

/** The shortest that a topic may have had up to an instant. */
export function shortestRetention(seen: Auditor, topic: string, upTo: number): number {
  const asked = seen.retentions.filter((each) => each.topic === topic && each.startedAt <= upTo);
  return Math.min(...asked.map(({ retentionMs }) => retentionMs));
}
