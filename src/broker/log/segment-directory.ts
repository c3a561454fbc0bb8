import { BrokerError } from "../errors.ts";
import { limits } from "../limits.ts";
import { Damaged, Unavailable } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import type { Item, ScanRange } from "../ports/store.ts";
import { offsetKey, partitions, type QueueId, queueName } from "../schema.ts";
import { type DirectoryEntry, hasExpired, readEntry } from "./segment.ts";

/** Entries of one queue that are remembered. One of an archived segment takes some kilobytes. */
const entriesKept = 1_024;

export interface Seen {
  readonly entry: DirectoryEntry;
  readonly isFresh: boolean;
}
/** So often the directory may have changed under a reader before what does not fit is taken for damage. */
export const readsMax = 20;

interface Known {
  /** In the order of their bases. */
  entries: DirectoryEntry[];
  first: DirectoryEntry | undefined;
  last: DirectoryEntry | undefined;
}

/**
 * Which segments a queue has. The first entry is made with the queue, every other one in the commit that ends its
 * predecessor. What is remembered is used for a bounded time only (rule 11 of the log).
 */
export class SegmentDirectory {
  readonly #queues = new Map<string, Known>();

  /** The segment that takes appends, or took them a moment ago. */
  async last(io: Ports, queue: QueueId): Promise<DirectoryEntry> {
    const known = this.#known(queue);
    if (!isFresh(io, known.last)) {
      known.last = (await readEntries(io, queue, { reverse: true, limit: 1 }))[0];
    }
    return known.last ?? this.#gone(queue);
  }

  /** The last segment that was seen, and whether it may be counted with: an old one has to be confirmed. */
  async lastSeen(io: Ports, queue: QueueId): Promise<Seen> {
    const known = this.#known(queue).last;
    if (known === undefined) return { entry: await this.last(io, queue), isFresh: true };
    return { entry: known, isFresh: isFresh(io, known) };
  }

  /** Takes note of a last entry as it is now. Answers whether it is still the last one. */
  confirm(queue: QueueId, item: Item | undefined, readAt: number): boolean {
    const entry = item && readEntry(item, readAt);
    const isLast = entry !== undefined && !("end" in entry.segment);
    this.#known(queue).last = isLast ? entry : undefined;
    return isLast;
  }

  /** The lowest segment that the queue still has. */
  async first(io: Ports, queue: QueueId): Promise<DirectoryEntry> {
    const known = this.#known(queue);
    if (!isFresh(io, known.first)) {
      known.first = (await readEntries(io, queue, { limit: 1 }))[0];
    }
    return known.first ?? this.#gone(queue);
  }

  /** The lowest and the last segment as they are now. */
  async ends(
    io: Ports,
    queue: QueueId,
  ): Promise<{ readonly first: DirectoryEntry; readonly last: DirectoryEntry }> {
    const known = this.#known(queue);
    known.first = undefined;
    known.last = undefined;
    return { first: await this.first(io, queue), last: await this.last(io, queue) };
  }

  /** The segment that `offset` lies in: the last one that begins at or below it. `undefined` below the first. */
  async holding(io: Ports, queue: QueueId, offset: number): Promise<DirectoryEntry | undefined> {
    const remembered = this.remembered(io, queue, offset);
    if (remembered !== undefined) return remembered;
    const known = this.#known(queue);
    const entry = await this.below(io, queue, offset);
    if (entry === undefined) return undefined;
    if ("end" in entry.segment) remember(known, entry);
    else known.last = entry;
    return entry;
  }

  /** The same, if no read is needed to know it. */
  remembered(io: Ports, queue: QueueId, offset: number): DirectoryEntry | undefined {
    const { last, entries } = this.#known(queue);
    if (isFresh(io, last) && last.base <= offset) return last;
    const entry = entries[indexBelow(entries, offset)];
    return isFresh(io, entry) && endOf(entry) > offset ? entry : undefined;
  }

  /** The same, as it is now. */
  async below(io: Ports, queue: QueueId, offset: number): Promise<DirectoryEntry | undefined> {
    const range = { to: offsetKey(offset), reverse: true, limit: 1 };
    return (await readEntries(io, queue, range))[0];
  }

  /** Takes note of the queue's last entry as this process just wrote it. */
  wrote(queue: QueueId, entry: DirectoryEntry): void {
    this.#known(queue).last = entry;
  }

  /**
   * Readers write nothing, so one who meets a segment whose rows have expired has to wait for a sweep to take it away.
   * Throws `Unavailable`; whoever asks again looks anew.
   */
  expectNotExpired(io: Ports, queue: QueueId, entry: DirectoryEntry): void {
    if (!hasExpired(entry, io.clock.now())) return;
    this.forget(queue);
    throw new Unavailable("messages have expired that no sweep has removed yet");
  }

  forget(queue: QueueId): void {
    this.#queues.delete(queueName(queue));
  }

  #known(queue: QueueId): Known {
    const name = queueName(queue);
    const known = this.#queues.get(name) ?? { entries: [], first: undefined, last: undefined };
    this.#queues.set(name, known);
    return known;
  }

  /** Rule 9 of the log: the first entry is made with the queue, so there is no queue without one. */
  #gone(queue: QueueId): never {
    this.forget(queue);
    throw new BrokerError("queue_not_found", "the queue is gone", { queue: queue.queue });
  }
}

/** Entries as they are now, each as old as the read. */
export async function readEntries(
  io: Ports,
  queue: QueueId,
  range: Omit<ScanRange, "partition">,
): Promise<DirectoryEntry[]> {
  const readAt = io.clock.now();
  const page = await io.store.scan({ partition: partitions.segments(queue), ...range });
  return page.items.map((item) => readEntry(item, readAt));
}

/**
 * For a reader who did not get through after `readsMax` tries. A seal makes the next segment in its own commit, so a queue
 * whose last one is complete is being deleted; in any other, rows are missing.
 */
export async function giveUpReading(io: Ports, queue: QueueId): Promise<never> {
  const [last] = await readEntries(io, queue, { reverse: true, limit: 1 });
  if (last !== undefined && !("end" in last.segment)) throw new Damaged("chain of rows");
  throw new BrokerError("queue_not_found", "the queue is being deleted", { queue: queue.queue });
}

/** Where the segment ends, as far as the entry knows. */
function endOf({ base, segment }: DirectoryEntry): number {
  return "end" in segment ? segment.end : base;
}

function isFresh(io: Ports, entry: DirectoryEntry | undefined): entry is DirectoryEntry {
  return entry !== undefined && io.clock.now() - entry.readAt < limits.directoryAgeMsMax;
}

function remember(known: Known, entry: DirectoryEntry): void {
  if (known.entries.length >= entriesKept) known.entries = [];
  const index = indexBelow(known.entries, entry.base);
  const same = known.entries[index]?.base === entry.base;
  known.entries.splice(same ? index : index + 1, same ? 1 : 0, entry);
}

/** Of the last entry that begins at or below `offset`; -1 where there is none. */
function indexBelow(entries: readonly DirectoryEntry[], offset: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle]?.base ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
