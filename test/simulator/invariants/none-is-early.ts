import { limits } from "../../../src/broker/limits.ts";
import type { Auditor, FinalLog, Invariant, Pull, SeenMessage } from "../auditor.ts";

/**
 * A delayed message is not delivered before it is due, by the clock of whoever delivers it. So nobody sees it sooner than
 * that clock may be wrong.
 */
export const noneIsEarly: Invariant = {
  name: "none is early",
  *check(seen) {
    for (const { by, uid, storedAt, seenAt } of allSeen(seen)) {
      const dueAt = seen.delayed.get(uid)?.dueAt;
      if (dueAt === undefined) continue;
      if (storedAt < dueAt)
        yield { what: `${by} saw ${uid} stored ${dueAt - storedAt} ms before it was due`, uid };
      if (seenAt < dueAt - limits.clockErrorMsMax)
        yield { what: `${by} saw ${uid} ${dueAt - seenAt} ms before it was due`, uid };
    }
  },
};

function* allSeen({ pulls, final, later, finalAt, laterAt }: Auditor) {
  yield* messagesOf(
    pulls,
    ({ reader }) => reader,
    ({ endedAt }) => endedAt,
  );
  const by = () => "the auditor";
  yield* messagesOf(final, by, () => finalAt);
  yield* messagesOf(later, by, () => laterAt);
}

function* messagesOf<T extends Pull | FinalLog>(
  logs: readonly T[],
  by: (log: T) => string,
  seenAt: (log: T) => number,
): Generator<SeenMessage & { readonly by: string; readonly seenAt: number }> {
  for (const log of logs)
    for (const message of log.messages) yield { ...message, by: by(log), seenAt: seenAt(log) };
}
