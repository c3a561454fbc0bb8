import type { Invariant } from "../auditor.ts";

/** For so long a broker may tell the end of a queue that it saw before, where an answer does not reach the end. */
const toldEndAgeMsMax = 1_000;

/** Whoever reads after an acknowledgement finds the queue at least so long. */
export const acknowledgedIsVisible: Invariant = {
  name: "acknowledged is visible",
  *check(seen) {
    const landings = new Map<string, { uid: string; offset: number; endedAt: number }[]>();
    for (const { uid, topic, attempts } of seen.lasting()) {
      for (const { outcome, queue, offset = -1, endedAt = 0 } of attempts) {
        if (outcome !== "acknowledged") continue;
        const name = `${topic}/${queue}`;
        landings.set(name, [...(landings.get(name) ?? []), { uid, offset, endedAt }]);
      }
    }
    for (const { reader, topic, queue, from, startedAt, messages, max, outOfRange } of seen.pulls) {
      for (const { uid, offset, endedAt } of landings.get(`${topic}/${queue}`) ?? []) {
        if (max <= offset && endedAt < startedAt - toldEndAgeMsMax) {
          yield {
            what: `${reader} was told that ${topic}/${queue} ends at ${max}, though ${offset} was acknowledged before`,
            uid,
          };
        }
        if (messages.length > 0 || offset < from || endedAt >= startedAt) continue;
        const saw = outOfRange ? "was told that it is out of range" : "found nothing";
        yield {
          what: `${reader} pulled ${topic}/${queue} from ${from} and ${saw}, though ${offset} was acknowledged before`,
          uid,
        };
      }
    }
  },
};
