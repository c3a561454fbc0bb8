import { BrokerError } from "../errors.ts";
import { limits } from "../limits.ts";
import { Damaged } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import { storeLimits } from "../ports/store.ts";
import { keys, offsetKey, partitions, type QueueId, queueName } from "../schema.ts";
import { readArchivedRows } from "./archived-rows.ts";
import { type BatchRow, isSeal, placedBatches, readBatchRow } from "./batch-row.ts";
import { KeysOnce } from "./keys-once.ts";
import type { LargeBatches } from "./large-batches.ts";
import { readLastRow, readRowAtOrBelow } from "./queue-rows.ts";
import { RowCache } from "./row-cache.ts";
import { type ArchivedSegment, type DirectoryEntry, hasExpired, isIn } from "./segment.ts";
import { giveUpReading, readsMax, type Seen, type SegmentDirectory } from "./segment-directory.ts";

export interface ReadLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

/** Both ends of a queue: the offset of its first message, and that of the next one to come. */
export interface QueueRange {
  readonly min: number;
  readonly max: number;
}

export interface RowsRead {
  /** The first one holds the offset asked for; each follows the one before. */
  readonly rows: readonly BatchRow[];
  readonly minOffset: number;
  /** The tail: the offset that the next message gets. Never less than the end of `rows`. */
  readonly maxOffset: number;
}

/** A place where somebody waits for a message. */
export interface PlaceAsked {
  readonly queue: QueueId;
  readonly offset: number;
  /** Whether a row is known to end there. */
  readonly endsRow: boolean;
}

/** For so long a tail that was seen may be told as `maxOffset` of an answer that does not reach it. */
const tailAgeMsMax = 1_000;
const boundariesKept = 10_000;

/** What one look at the store showed. */
interface Found {
  readonly rows: BatchRow[];
  /** The offset behind them. */
  readonly end: number;
  /** Set where the queue ends there. */
  readonly tail: boolean;
}

/**
 * Reads queues from any offset: one scan, or one ranged get of an archived segment, and a second scan where the offset
 * lies inside a row or at a tail that this process has not met before. What it remembers cannot become wrong: where a
 * row ended, one ends for ever.
 */
export class LogReader {
  readonly #directory: SegmentDirectory;
  readonly #largeBatches: LargeBatches;
  /** Places where a row is known to end, so that an empty scan from there proves the tail. */
  readonly #boundaries = new Set<string>();
  readonly #tails = new Map<string, { readonly offset: number; readonly seenAt: number }>();
  /** Messages a row, as last seen: how many rows to ask for. */
  readonly #rowSizes = new Map<string, number>();
  readonly #cache: RowCache;

  constructor(
    parts: {
      readonly directory: SegmentDirectory;
      readonly largeBatches: LargeBatches;
    },
    cacheBytesMax: number,
  ) {
    this.#directory = parts.directory;
    this.#largeBatches = parts.largeBatches;
    this.#cache = new RowCache(cacheBytesMax);
  }

  /**
   * The rows from `offset` on. At least one row if there is one; fewer than asked for does not mean the end. Where the
   * directory that was remembered leads nowhere, or rows do not follow each other, all is read again, never passed over
   * (rule 12 of the log): a segment may have been sealed, archived or trimmed between two reads.
   */
  async read(io: Ports, queue: QueueId, offset: number, readLimits: ReadLimits): Promise<RowsRead> {
    let damaged: Damaged | undefined;
    for (let attempt = 1; attempt <= readsMax; attempt++) {
      const read = await this.#readOnce(io, queue, offset, readLimits);
      try {
        if (read !== undefined)
          return { ...read, rows: await this.#whole(io, read.rows, readLimits) };
      } catch (error) {
        // The object of a large batch goes when its segment has gone, which a directory that is remembered does not show.
        if (!(error instanceof Damaged) || damaged !== undefined) throw error;
        damaged = error;
      }
      this.#directory.forget(queue);
    }
    return await giveUpReading(io, queue);
  }

  /** Both ends of a queue: the offset of the first message that it holds, and that of the next one that comes. */
  async range(io: Ports, queue: QueueId): Promise<QueueRange> {
    for (let attempt = 1; attempt <= readsMax; attempt++) {
      const first = await this.#directory.first(io, queue);
      this.#directory.expectNotExpired(io, queue, first);
      const max = await this.#readTail(io, queue);
      if (max !== undefined) return { min: first.base, max };
      this.#directory.forget(queue);
    }
    return await giveUpReading(io, queue);
  }

  /**
   * Whether a message lies at each of these places. Where a row ends and nothing begins, the queue ends; of all such places
   * one get tells. Entries of the directory that have got old are confirmed by the same get. `true` where only a read can
   * tell.
   */
  async mayHold(io: Ports, places: readonly PlaceAsked[]): Promise<boolean[]> {
    const lasts = await Promise.all(places.map(({ queue }) => this.#directory.lastSeen(io, queue)));
    const readAt = io.clock.now();
    const asked = new KeysOnce();
    const looks = places.map(({ queue, offset, endsRow }, index) => {
      const { entry, isFresh } = lasts[index] as Seen;
      const name = queueName(queue);
      const isEnd = endsRow || offset === entry.base || this.#isEnd(name, offset);
      const tail = this.#tails.get(name)?.offset ?? 0;
      if (tail > offset || entry.base > offset || !isEnd || hasExpired(entry, readAt))
        return undefined;
      const partition = partitions.batches(queue, { base: entry.base, part: entry.segment.part });
      return {
        row: asked.add({ partition, sort: offsetKey(offset) }),
        entry: isFresh ? undefined : asked.add(keys.segment(queue, entry.base)),
      };
    });
    const items = await asked.get(io);
    return places.map(({ queue }, index) => {
      const look = looks[index];
      if (look === undefined) return true;
      if (look.entry !== undefined && !this.#directory.confirm(queue, items[look.entry], readAt))
        return true;
      return items[look.row] !== undefined;
    });
  }

  /** The rows with what lies in blobs, as many as are wanted. What cannot be read ends them, unless it comes first. */
  async #whole(
    io: Ports,
    rows: readonly BatchRow[],
    { messagesMax, bytesMax }: ReadLimits,
  ): Promise<readonly BatchRow[]> {
    if (!rows.some(({ isLarge }) => isLarge)) return rows;
    const whole: BatchRow[] = [];
    let [messages, bytes] = [0, 0];
    for (const row of rows) {
      if (messages >= messagesMax || bytes >= bytesMax) break;
      const [first] = row.isLarge ? placedBatches(row) : [];
      try {
        const read =
          first === undefined ? row : await this.#largeBatches.whole(io, row, first.batch);
        whole.push(read);
        bytes += read.batches.length;
      } catch (error) {
        if (!(error instanceof Damaged) || whole.length === 0) throw error;
        break;
      }
      messages += row.count;
    }
    return whole;
  }

  /** Takes note of where a queue ends, as an append in this process showed it. */
  sawTail(queue: QueueId, { offset, issuedAt }: { offset: number; issuedAt: number }): void {
    this.#sawTail(queueName(queue), offset, issuedAt);
  }

  /** `undefined` where what was remembered of the directory is out of date. */
  async #readOnce(
    io: Ports,
    queue: QueueId,
    offset: number,
    readLimits: ReadLimits,
  ): Promise<RowsRead | undefined> {
    const { base: minOffset } = await this.#directory.first(io, queue);
    const isRemembered = this.#directory.remembered(io, queue, offset) !== undefined;
    const cached = offset < minOffset ? undefined : this.#cachedRows(queue, offset, readLimits);
    const entry =
      cached === undefined ? await this.#directory.holding(io, queue, offset) : undefined;
    if (cached === undefined && entry === undefined) return await this.#refuse(io, queue, offset);
    if (entry !== undefined) this.#directory.expectNotExpired(io, queue, entry);
    const issuedAt = io.clock.now();
    const place = { queue, offset, isRemembered };
    const found = cached ?? (entry && (await this.#found(io, place, entry, readLimits)));
    if (found === undefined || (entry !== undefined && mayBeGone(entry, io.clock.now())))
      return undefined;
    const { rows, end, tail } = found;
    if (cached === undefined) this.#remember(queue, rows, end);
    if (tail) this.#sawTail(queueName(queue), end, issuedAt);
    const isFarBehind = entry !== undefined && "end" in entry.segment;
    const ageMax = isFarBehind ? limits.directoryAgeMsMax : tailAgeMsMax;
    const maxOffset = tail ? end : await this.#tailBehind(io, queue, end, ageMax);
    return maxOffset === undefined ? undefined : { rows, minOffset, maxOffset };
  }

  #found(
    io: Ports,
    {
      queue,
      offset,
      isRemembered,
    }: { readonly queue: QueueId; readonly offset: number; readonly isRemembered: boolean },
    entry: DirectoryEntry,
    readLimits: ReadLimits,
  ): Promise<Found | undefined> {
    if (isIn(entry, "archived")) return this.#archived(io, queue, entry, offset, readLimits);
    const beginsRow = offset === entry.base || this.#isEnd(queueName(queue), offset);
    return isIn(entry, "open", "empty") || isRemembered || beginsRow
      ? this.#stored(io, queue, entry, offset, readLimits)
      : this.#rowHolding(io, queue, entry, offset);
  }

  /** One row by one read, where a scan from within it might take another: a read of the directory was enough. */
  async #rowHolding(
    io: Ports,
    queue: QueueId,
    { base, segment }: DirectoryEntry,
    offset: number,
  ): Promise<Found | undefined> {
    const partition = partitions.batches(queue, { base, part: segment.part });
    const row = await readRowAtOrBelow(io, partition, offset);
    const end = row === undefined ? offset : row.base + row.count;
    return row !== undefined && end > offset ? { rows: [row], end, tail: false } : undefined;
  }

  async #archived(
    io: Ports,
    queue: QueueId,
    entry: DirectoryEntry<ArchivedSegment>,
    offset: number,
    { messagesMax, bytesMax }: ReadLimits,
  ): Promise<Found | undefined> {
    const { base, segment } = entry;
    if (offset >= segment.end) return undefined;
    const messageBytes = segment.bytes / (segment.end - base);
    const bytesWanted = Math.min(bytesMax, messagesMax * messageBytes);
    const rows = await readArchivedRows(io, queue, entry, { offset, bytesWanted });
    const end = rows && endOf(rows, offset);
    return rows && end !== undefined ? { rows, end, tail: false } : undefined;
  }

  async #stored(
    io: Ports,
    queue: QueueId,
    entry: DirectoryEntry,
    offset: number,
    { messagesMax, bytesMax }: ReadLimits,
  ): Promise<Found | undefined> {
    const { base, segment } = entry;
    const partition = partitions.batches(queue, { base, part: segment.part });
    const name = queueName(queue);
    const rowsWanted = Math.ceil(messagesMax / (this.#rowSizes.get(name) ?? 1));
    const limit = Math.min(rowsWanted + 1, storeLimits.scanItemsMax);
    const page = await io.store.scan({ partition, from: offsetKey(offset), limit, bytesMax });
    const rows = page.items.map(readBatchRow);
    const proven = rows[0]?.base === offset || (rows.length === 0 && this.#isEnd(name, offset));
    if (!proven) {
      const holder = await readRowAtOrBelow(io, partition, offset);
      const holderEnd = holder === undefined ? base : holder.base + holder.count;
      if (holder !== undefined && holderEnd > offset) rows.unshift(holder);
      // Another segment has begun since, or rows have gone since.
      else if (rows.length > 0 || (holder !== undefined && isSeal(holder))) return undefined;
      else if ("end" in segment) return undefined;
      else if (holderEnd < offset) return await this.#refuse(io, queue, offset);
    }
    const seal = rows.at(-1);
    const sealed = seal !== undefined && isSeal(seal);
    if (sealed) rows.pop();
    const end = endOf(rows, offset);
    if (end === undefined || (sealed && seal.base !== end)) return undefined;
    if (rows.length === 0 && (sealed || "end" in segment)) return undefined;
    return { rows, end, tail: !page.more && !sealed && !("end" in segment) };
  }

  /** Throws `out_of_range` by the directory as it is now: an old one would send a consumer to the wrong end. */
  async #refuse(io: Ports, queue: QueueId, offset: number): Promise<undefined> {
    this.#directory.forget(queue);
    const range = await this.range(io, queue);
    if (offset < range.min || offset > range.max) throw outOfRange(queue, offset, range);
  }

  /** All that is asked for, if it was read lately. */
  #cachedRows(
    queue: QueueId,
    offset: number,
    { messagesMax, bytesMax }: ReadLimits,
  ): Found | undefined {
    const rows: BatchRow[] = [];
    let end = offset;
    for (let bytes = 0; end - offset < messagesMax && bytes < bytesMax; ) {
      const row = this.#cache.get(queue, end);
      if (row === undefined) return undefined;
      rows.push(row);
      end += row.count;
      bytes += row.batches.length;
    }
    return { rows, end, tail: false };
  }

  #isEnd(name: string, offset: number): boolean {
    return this.#boundaries.has(`${name}@${offset}`);
  }

  /** An end of the queue behind `end`, seen at most `ageMax` ms ago. `undefined` where the directory is out of date. */
  async #tailBehind(
    io: Ports,
    queue: QueueId,
    end: number,
    ageMax: number,
  ): Promise<number | undefined> {
    const known = this.#tails.get(queueName(queue));
    // There may be more behind `end`, so an end that is not behind it may be out of date.
    if (known !== undefined && known.offset > end && io.clock.now() - known.seenAt < ageMax)
      return known.offset;
    const tail = await this.#readTail(io, queue);
    return tail && Math.max(tail, end);
  }

  /** Where the queue ends. `undefined` where its last segment has been sealed or given up since it was looked up. */
  async #readTail(io: Ports, queue: QueueId): Promise<number | undefined> {
    const entry = await this.#directory.last(io, queue);
    const seenAt = io.clock.now();
    this.#directory.expectNotExpired(io, queue, entry);
    const { base, segment } = entry;
    const last = await readLastRow(io, partitions.batches(queue, { base, part: segment.part }));
    if ((last !== undefined && isSeal(last)) || mayBeGone(entry, io.clock.now())) return undefined;
    const offset = last === undefined ? base : last.base + last.count;
    this.#sawTail(queueName(queue), offset, seenAt);
    return offset;
  }

  /** A queue only grows, so a lower end comes from a read that was overtaken. */
  #sawTail(name: string, offset: number, seenAt: number): void {
    const known = this.#tails.get(name);
    if (known === undefined || known.offset <= offset) this.#tails.set(name, { offset, seenAt });
  }

  #remember(queue: QueueId, rows: readonly BatchRow[], end: number): void {
    const name = queueName(queue);
    for (const row of rows) this.#cache.add(queue, row);
    this.#boundaries.add(`${name}@${end}`);
    if (this.#boundaries.size > boundariesKept) {
      for (const oldest of this.#boundaries) {
        this.#boundaries.delete(oldest);
        break;
      }
    }
    const first = rows[0];
    if (first !== undefined) this.#rowSizes.set(name, (end - first.base) / rows.length);
  }
}

/** Whether rows that were read by this entry may have gone before they were read: whoever reads may be stopped for hours. */
function mayBeGone(entry: DirectoryEntry, now: number): boolean {
  return hasExpired(entry, now) || now - entry.readAt >= limits.rowLifeMsMin;
}

/** Where the rows end; `undefined` where they do not follow each other. */
function endOf(rows: readonly BatchRow[], offset: number): number | undefined {
  let end = rows[0]?.base ?? offset;
  for (const row of rows) {
    if (row.base !== end) return undefined;
    end += row.count;
  }
  return end;
}

function outOfRange({ queue }: QueueId, offset: number, range: QueueRange): BrokerError {
  return new BrokerError(
    "out_of_range",
    `queue ${queue} holds the offsets from ${range.min} up to ${range.max}`,
    {
      field: "offset",
      given: offset,
      allowed: `${range.min} to ${range.max}`,
      ...range,
    },
  );
}
