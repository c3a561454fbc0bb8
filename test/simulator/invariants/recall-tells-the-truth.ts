import { limits } from "../../../src/broker/limits.ts";
import type { Auditor, Invariant } from "../auditor.ts";
import type { DelayedMessage } from "../delayed-message.ts";

/**
 * Of a message that was recalled nothing ever appears; one that was not since it had been delivered lies where its
 * recaller was told; and whoever recalls it again is told the same, for as long as that is known.
 */
export const recallTellsTheTruth: Invariant = {
  name: "recall tells the truth",
  *check(seen) {
    const places = placesOf(seen);
    for (const message of seen.lastingDelayed()) {
      const { uid } = message;
      const seenAt = places.get(uid);
      let isRecalled = false;
      const told = new Set<string>();
      for (const answer of answersTo(message)) {
        if (answer.outcome === "recalled") isRecalled = true;
        if (answer.outcome !== "too late") continue;
        told.add(`${message.topic}/${answer.queue}@${answer.offset ?? "none"}`);
        if (answer.offset === undefined || isThere(seen, message, { ...answer })) continue;
        yield {
          what: `${uid} was told to be at ${message.topic}/${answer.queue}@${answer.offset}, where it is not`,
          uid,
        };
      }
      if (isRecalled && (seenAt !== undefined || told.size > 0))
        yield { what: `${uid} was recalled and is at ${seenAt ?? [...told][0]}`, uid };
      if (told.size > 1) yield { what: `${uid} was told to be at ${[...told].join(" and ")}`, uid };
      for (const what of forgotten(message)) yield { what, uid };
    }
  },
};

function answersTo({ recalls, atEnd }: DelayedMessage) {
  const answers = recalls.map(({ answer }) => answer);
  // At the end the auditor may itself be the one who recalls what still waits.
  return atEnd?.outcome === "too late" ? [...answers, atEnd] : answers;
}

/** Whoever was told that a message waits is not told that there is none of that name. */
function* forgotten({ uid, attempts, dueAt, recalls }: DelayedMessage): Generator<string> {
  const knownFrom = Math.min(
    ...attempts.flatMap(({ outcome, endedAt }) =>
      outcome === "waits" && endedAt !== undefined ? [endedAt] : [],
    ),
  );
  const keptTo = dueAt + limits.timerKeptMs - 2 * limits.clockErrorMsMax;
  for (const { answer, startedAt, endedAt = Number.POSITIVE_INFINITY } of recalls) {
    if (answer.outcome !== "not found" || startedAt <= knownFrom || endedAt >= keptTo) continue;
    yield `${uid} was told to wait, and then that it is not known`;
  }
}

function placesOf(seen: Auditor): Map<string, string> {
  const places = new Map<string, string>();
  for (const { uid, topic, queue, offset } of seen.sightings())
    if (seen.delayed.has(uid)) places.set(uid, `${topic}/${queue}@${offset}`);
  return places;
}

/** At that place at the end, unless it was trimmed. */
function isThere(
  { later }: Auditor,
  { uid, topic }: DelayedMessage,
  place: { readonly queue: number; readonly offset: number | undefined },
): boolean {
  const log = later.find((each) => each.topic === topic && each.queue === place.queue);
  if (log === undefined || place.offset === undefined) return false;
  if (place.offset < log.min) return true;
  return log.messages.some((message) => message.offset === place.offset && message.uid === uid);
}
