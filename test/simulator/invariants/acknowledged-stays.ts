import type { Invariant } from "../auditor.ts";

/** Nothing that was acknowledged is lost or moved. */
export const acknowledgedStays: Invariant = {
  name: "acknowledged stays",
  *check(seen) {
    const found = new Map<string, string>();
    for (const { topic, queue, messages } of seen.final) {
      for (const { offset, uid } of messages) found.set(`${topic}/${queue}@${offset}`, uid);
    }
    for (const message of seen.lasting()) {
      for (const { outcome, queue, offset } of message.attempts) {
        if (outcome !== "acknowledged") continue;
        const place = `${message.topic}/${queue}@${offset}`;
        if (found.get(place) === message.uid) continue;
        yield {
          what: `${message.uid} was acknowledged at ${place}, where ${found.get(place) ?? "nothing"} lies`,
          uid: message.uid,
        };
      }
    }
  },
};
