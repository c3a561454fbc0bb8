import type { Invariant } from "../auditor.ts";

/** Nobody sees a message of a transaction before somebody asked for it to be committed. */
export const halfIsInvisible: Invariant = {
  name: "a half is invisible",
  *check(seen) {
    const asked = new Map<string, number>();
    for (const { uid, commitAskedAt } of seen.transactions.values()) asked.set(uid, commitAskedAt);
    for (const { reader, endedAt, messages } of seen.pulls) {
      for (const { uid } of messages) {
        if (endedAt < (asked.get(uid) ?? 0))
          yield { what: `${reader} saw ${uid}, which nobody had asked to commit`, uid };
      }
    }
    for (const { messages } of seen.final) {
      for (const { uid } of messages) {
        if (asked.get(uid) === Number.POSITIVE_INFINITY)
          yield { what: `${uid} is there, though nobody asked to commit it`, uid };
      }
    }
  },
};
