import type { FinalLog, Invariant } from "../auditor.ts";

/** Nothing that was acknowledged is lost or moved, as long as its queue has not been trimmed so far. */
export const acknowledgedStays: Invariant = {
  name: "acknowledged stays",
  *check(seen) {
    const found = new Map<string, string>();
    const queues = new Map<string, FinalLog>();
    for (const final of seen.final) {
      const { topic, queue, messages } = final;
      queues.set(`${topic}/${queue}`, final);
      for (const { offset, uid } of messages) found.set(`${topic}/${queue}@${offset}`, uid);
    }
    for (const message of seen.lasting()) {
      for (const { outcome, queue, offset = -1 } of message.attempts) {
        if (outcome !== "acknowledged") continue;
        const place = `${message.topic}/${queue}@${offset}`;
        const trimmed = offset < (queues.get(`${message.topic}/${queue}`)?.min ?? 0);
        if (trimmed || found.get(place) === message.uid) continue;
        yield {
          what: `${message.uid} was acknowledged at ${place}, where ${found.get(place) ?? "nothing"} lies`,
          uid: message.uid,
        };
      }
    }
  },
};
