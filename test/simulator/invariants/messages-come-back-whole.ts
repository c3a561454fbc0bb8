import type { Invariant } from "../auditor.ts";

/** Whoever is given a message is given the bytes that were sent, wherever they lay. */
export const messagesComeBackWhole: Invariant = {
  name: "messages come back whole",
  *check(seen) {
    for (const { by, topic, queue, offset, uid, checksum } of seen.seen()) {
      if (seen.sent.get(uid)?.checksum === checksum) continue;
      yield { what: `${by} saw other bytes than were sent at ${topic}/${queue}@${offset}`, uid };
    }
  },
};
