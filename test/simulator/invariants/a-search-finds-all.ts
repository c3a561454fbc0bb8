import type { Auditor, FoundMessage, Invariant, SearchSeen, Violation } from "../auditor.ts";

type Wrong = Omit<Violation, "invariant">;

/**
 * A search finds what is there of what it is for, as far as it came: each message once, in the order of queues and
 * offsets, no more of them in a page than were asked for, and none that was acknowledged before is passed over.
 */
export const aSearchFindsAll: Invariant = {
  name: "a search finds all",
  *check(seen) {
    const storedAt = new Map<string, number>();
    for (const each of seen.seen()) storedAt.set(each.uid, each.storedAt);
    for (const search of seen.searches) {
      yield* outOfOrder(search);
      yield* unwanted(seen, search);
      if (!seen.volatile.has(search.topic)) yield* missing(seen, search, storedAt);
    }
  },
};

function* outOfOrder(search: SearchSeen): Generator<Wrong> {
  let last = { queue: 0, offset: -1 };
  let reached = { queue: 0, offset: -1 };
  for (const { limit, found, scannedTo } of search.pages) {
    if (found.length > limit)
      yield { what: `${describe(search)} answered ${found.length} messages at once` };
    for (const message of found) {
      const { queue, offset, uid } = message;
      if (!isBehind(message, last))
        yield {
          what: `${describe(search)} found ${queue}@${offset} behind ${last.queue}@${last.offset}`,
          uid,
        };
      if (!isBehind(scannedTo, message))
        yield {
          what: `${describe(search)} found ${queue}@${offset}, which it had not reached`,
          uid,
        };
      last = message;
    }
    // An empty queue is searched without a step.
    if (isBehind(reached, scannedTo))
      yield { what: `${describe(search)} went back to ${scannedTo.queue}@${scannedTo.offset}` };
    reached = scannedTo;
  }
}

function* unwanted(seen: Auditor, search: SearchSeen): Generator<Wrong> {
  for (const message of search.pages.flatMap(({ found }) => found)) {
    const { queue, offset, uid, storedAt } = message;
    if (isWithin(search, storedAt) && isWanted(seen, search, message)) continue;
    yield { what: `${describe(search)} found ${uid} at ${queue}@${offset}`, uid };
  }
}

function isWanted(seen: Auditor, { key, messageId }: SearchSeen, found: FoundMessage): boolean {
  if (key === undefined) return found.messageId === messageId;
  return seen.sent.get(found.uid)?.keys.includes(key) === true;
}

function* missing(
  seen: Auditor,
  search: SearchSeen,
  storedTimes: ReadonlyMap<string, number>,
): Generator<Wrong> {
  const { topic, key, messageId } = search;
  const { startedAt, endedAt, complete } = search;
  const scannedTo = search.pages.at(-1)?.scannedTo;
  if (scannedTo === undefined) return;
  const found = new Set(
    search.pages.flatMap((page) => page.found.map(({ queue, offset }) => `${queue}@${offset}`)),
  );
  for (const { uid, topic: sentTo, keys, attempts } of seen.lasting()) {
    if (sentTo !== topic || (key !== undefined && !keys.includes(key))) continue;
    for (const { outcome, endedAt: toldAt = startedAt, ...told } of attempts) {
      if (outcome !== "acknowledged" || toldAt >= startedAt) continue;
      if (messageId !== undefined && told.messageId !== messageId) continue;
      const { queue = -1, offset = -1 } = told;
      if (found.has(`${queue}@${offset}`)) continue;
      if (!complete && !isBehind(scannedTo, { queue, offset })) continue;
      if (!isWithin(search, storedTimes.get(uid))) continue;
      if (!seen.wasThereAt({ topic, queue, offset }, endedAt)) continue;
      yield { what: `${describe(search)} passed over ${uid} at ${queue}@${offset}`, uid };
    }
  }
}

/** Of one that nobody saw it is not known when it was stored. */
function isWithin({ from, to }: SearchSeen, storedAt: number | undefined): boolean {
  if (storedAt === undefined) return from === undefined && to === undefined;
  return storedAt >= (from ?? 0) && storedAt < (to ?? Number.POSITIVE_INFINITY);
}

interface Position {
  readonly queue: number;
  readonly offset: number;
}

function isBehind(one: Position, other: Position): boolean {
  return one.queue > other.queue || (one.queue === other.queue && one.offset > other.offset);
}

function describe({ reader, topic, key, messageId, from, to }: SearchSeen): string {
  return `the search of ${reader} in ${topic} for ${JSON.stringify({ key, messageId, from, to })}`;
}
