import type { Invariant, SentMessage } from "../auditor.ts";

/** The messages of a message group lie in one queue, in the order in which their producer was told that each was there. */
export const groupKeepsOrder: Invariant = {
  name: "group keeps order",
  *check(seen) {
    const last = new Map<
      string,
      { message: SentMessage; queue: number | undefined; offset: number }
    >();
    for (const message of seen.lasting()) {
      const landed = seen.acknowledgement(message);
      if (message.group === undefined || landed === undefined) continue;
      const { queue, offset = -1 } = landed;
      const before = last.get(message.group);
      if (before !== undefined && (before.queue !== queue || before.offset >= offset)) {
        const { uid } = message;
        yield {
          what: `${uid} at ${queue}@${offset} came after ${before.message.uid} at ${before.queue}@${before.offset}`,
          uid,
        };
      }
      last.set(message.group, { message, queue, offset });
    }
  },
};
