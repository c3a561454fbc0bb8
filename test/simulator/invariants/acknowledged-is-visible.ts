import { limits } from "../../../src/broker/limits.ts";
import type { Invariant, Pull } from "../auditor.ts";

/** Whoever reads after an acknowledgement finds the queue at least so long, and the message unless it was trimmed. */
export const acknowledgedIsVisible: Invariant = {
  name: "acknowledged is visible",
  *check(seen) {
    const landings = new Map<string, { uid: string; offset: number; endedAt: number }[]>();
    for (const { uid, topic, attempts } of seen.lasting()) {
      for (const { outcome, queue, offset = -1, endedAt = 0 } of attempts) {
        if (outcome !== "acknowledged") continue;
        const name = `${topic}/${queue}`;
        const known = landings.get(name);
        if (known === undefined) landings.set(name, [{ uid, offset, endedAt }]);
        else known.push({ uid, offset, endedAt });
      }
    }
    for (const pull of seen.pulls) {
      const { reader, topic, queue, from, startedAt, max } = pull;
      for (const { uid, offset, endedAt } of landings.get(`${topic}/${queue}`) ?? []) {
        if (max <= offset && endedAt < startedAt - toldEndAgeMsMax) {
          yield {
            what: `${reader} was told that ${topic}/${queue} ends at ${max}, though ${offset} was acknowledged before`,
            uid,
          };
        }
        if (offset < from || endedAt >= startedAt || !foundNothing(pull)) continue;
        const saw = pull.outOfRange ? "was told that it is out of range" : "found nothing";
        yield {
          what: `${reader} pulled ${topic}/${queue} from ${from} and ${saw}, though ${offset} was acknowledged before`,
          uid,
        };
      }
    }
  },
};

/** For so long a broker may tell the end of a queue that it saw before, where an answer comes from far behind it. */
const toldEndAgeMsMax = limits.directoryAgeMsMax;

/** Nothing, where nothing was trimmed either. */
function foundNothing({ from, min, messages, outOfRange }: Pull): boolean {
  return messages.length === 0 && !(outOfRange && from < min);
}
