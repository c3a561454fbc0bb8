import { limits } from "../../../src/broker/limits.ts";
import type { Invariant } from "../auditor.ts";

/** Whoever lists what waits is told of every message that surely waits meanwhile, and of none that was recalled before. */
export const listTellsWhatWaits: Invariant = {
  name: "list tells what waits",
  *check(seen) {
    for (const { by, startedAt, endedAt, topic, waiting } of seen.lists) {
      for (const { uid, attempts, dueAt, recalls, ...message } of seen.lastingDelayed()) {
        if (topic !== undefined && topic !== message.topic) continue;
        const isRecalled = recalls.some(
          ({ answer, endedAt: told = Number.POSITIVE_INFINITY }) =>
            answer.outcome === "recalled" && told < startedAt,
        );
        if (isRecalled && waiting.has(uid))
          yield { what: `${by} was told that ${uid} waits, which was recalled`, uid };
        const mayBeTurned =
          dueAt <= endedAt + limits.clockErrorMsMax ||
          recalls.some((recall) => recall.startedAt <= endedAt);
        const waits = attempts.some(
          ({ outcome, endedAt: told = Number.POSITIVE_INFINITY }) =>
            outcome === "waits" && told < startedAt,
        );
        if (waits && !mayBeTurned && !waiting.has(uid))
          yield { what: `${by} was not told that ${uid} waits`, uid };
      }
    }
  },
};
