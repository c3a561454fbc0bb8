import type { Invariant, Seeing, SendAttempt, SentMessage } from "../auditor.ts";

/**
 * Whoever asks for the first message that was stored at or after an instant is not sent past one that was, nor to one
 * that was stored before.
 */
export const offsetAtTimeIsRight: Invariant = {
  name: "the offset at a time is right",
  *check(seen) {
    const stored = new Map<string, Seeing[]>();
    const known = new Set<string>();
    for (const each of seen.seen()) {
      const queue = `${each.topic}/${each.queue}`;
      const place = `${queue}@${each.offset}`;
      if (known.has(place)) continue;
      known.add(place);
      const others = stored.get(queue);
      if (others === undefined) stored.set(queue, [each]);
      else others.push(each);
    }
    for (const asked of seen.offsetsAsked) {
      const { reader, topic, queue, at, offset, startedAt, endedAt } = asked;
      for (const message of stored.get(`${topic}/${queue}`) ?? []) {
        const { uid, storedAt } = message;
        const what = `${reader} was sent to ${topic}/${queue}@${offset} for ${at}, though ${message.offset} was stored at ${storedAt}`;
        if (message.offset < offset && storedAt >= at && seen.wasThereAt(message, endedAt))
          yield { what, uid };
        // What lands while it is looked for is behind the end that was found.
        const sent = seen.sent.get(uid);
        if (message.offset === offset && storedAt < at && wasToldBefore(startedAt, sent))
          yield { what, uid };
      }
    }
  },
};

function wasToldBefore(startedAt: number, message: SentMessage | undefined): boolean {
  return (message?.attempts ?? []).some(
    ({ outcome, endedAt = startedAt }: SendAttempt) =>
      outcome === "acknowledged" && endedAt < startedAt,
  );
}
