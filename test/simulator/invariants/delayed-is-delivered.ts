import type { Auditor, Invariant } from "../auditor.ts";
import { type DelayedMessage, mayBeRecalled } from "../delayed-message.ts";
import { shortestRetention } from "./nothing-is-trimmed-early.ts";

/** A delayed message of which its sender was told that it waits is in the log once it is due, unless it was recalled. */
export const delayedIsDelivered: Invariant = {
  name: "delayed is delivered",
  *check(seen) {
    const found = new Set(seen.later.flatMap(({ messages }) => messages.map(({ uid }) => uid)));
    for (const uid of seen.stillWaiting)
      yield { what: `${uid} waits after it was due and somebody swept`, uid };
    for (const message of seen.lastingDelayed()) {
      const { uid, attempts } = message;
      if (found.has(uid) || !attempts.some(({ outcome }) => outcome === "waits")) continue;
      if (!mayBeRecalled(message) && !mayBeTrimmed(seen, message))
        yield {
          what: `${uid} was told to wait and never came; at the end it is ${message.atEnd?.outcome}`,
          uid,
        };
    }
  },
};

/** Delivered, and trimmed since. */
function mayBeTrimmed(seen: Auditor, { topic, dueAt, atEnd }: DelayedMessage): boolean {
  if (atEnd?.outcome === "too late") {
    const { queue, offset = -1 } = atEnd;
    const log = seen.later.find((each) => each.topic === topic && each.queue === queue);
    return offset >= 0 && offset < (log?.min ?? 0);
  }
  // What became of it is forgotten a day later.
  const retentionMs = shortestRetention(seen, topic, seen.laterAt);
  return atEnd?.outcome === "not found" && dueAt + retentionMs < seen.laterAt;
}
