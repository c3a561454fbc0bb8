import type { Invariant } from "../auditor.ts";

/** From the first offset to the last every offset holds one message. */
export const offsetsAreDense: Invariant = {
  name: "offsets are dense",
  *check(seen) {
    for (const { topic, queue, min, max, messages } of seen.final) {
      let expected = min;
      for (const { offset, uid } of messages) {
        if (offset !== expected)
          yield { what: `${topic}/${queue}: ${offset} comes where ${expected} should`, uid };
        expected = offset + 1;
      }
      if (expected !== max)
        yield { what: `${topic}/${queue}: the messages end at ${expected}, the queue at ${max}` };
    }
  },
};
