import { BrokerError } from "../errors.ts";
import { Damaged } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import { storeLimits } from "../ports/store.ts";
import { offsetKey, partitions, type QueueId, queueName } from "../schema.ts";
import { type BatchRow, readBatchRow } from "./batch-row.ts";
import { readLastRow, readRowAtOrBelow } from "./queue-rows.ts";
import { RowCache } from "./row-cache.ts";
import type { SegmentDirectory } from "./segment-directory.ts";

export interface ReadLimits {
  readonly messagesMax: number;
  readonly bytesMax: number;
}

export interface RowsRead {
  /** The first one holds the offset asked for; each follows the one before. */
  readonly rows: readonly BatchRow[];
  readonly minOffset: number;
  /** The tail: the offset that the next message gets. Never less than the end of `rows`. */
  readonly maxOffset: number;
}

/** For so long a tail that was seen may be told as `maxOffset` of an answer that does not reach it. */
const tailAgeMsMax = 1_000;
const boundariesKept = 10_000;
const brokenReadsMax = 3;

/**
 * Reads queues from any offset: one scan, and a second one where the offset lies inside a row or at a tail that this
 * process has not met before. What it remembers cannot become wrong: where a row ended, one ends for ever.
 */
export class LogReader {
  readonly #directory: SegmentDirectory;
  /** Places where a row is known to end, so that an empty scan from there proves the tail. */
  readonly #boundaries = new Set<string>();
  readonly #tails = new Map<string, { readonly offset: number; readonly seenAt: number }>();
  /** Messages a row, as last seen: how many rows to ask for. */
  readonly #rowSizes = new Map<string, number>();
  readonly #cache: RowCache;

  constructor(directory: SegmentDirectory, cacheBytesMax: number) {
    this.#directory = directory;
    this.#cache = new RowCache(cacheBytesMax);
  }

  /**
   * The rows from `offset` on. At least one row if there is one; fewer than asked for does not mean the end. Rows that
   * do not follow each other are read again with a fresh directory, never passed over (rule 12 of the log): they may
   * have been removed between two reads.
   */
  async read(io: Ports, queue: QueueId, offset: number, readLimits: ReadLimits): Promise<RowsRead> {
    for (let attempt = 1; attempt <= brokenReadsMax; attempt++) {
      const read = await this.#readOnce(io, queue, offset, readLimits);
      if (read !== undefined) return read;
      this.#directory.forget(queue);
    }
    throw new Damaged("chain of rows");
  }

  /** `undefined` where the rows do not follow each other. */
  async #readOnce(
    io: Ports,
    queue: QueueId,
    offset: number,
    { messagesMax, bytesMax }: ReadLimits,
  ): Promise<RowsRead | undefined> {
    const base = await this.#directory.activeBase(io, queue);
    const partition = partitions.batches(queue, base);
    const name = queueName(queue);
    const cached = this.#cachedRows(queue, offset, { messagesMax, bytesMax });
    if (cached !== undefined) {
      const { rows, end } = cached;
      return {
        rows,
        minOffset: base,
        maxOffset: await this.#tailBehind(io, { partition, name, end }),
      };
    }
    const rowsWanted = Math.ceil(messagesMax / (this.#rowSizes.get(name) ?? 1));
    const limit = Math.min(rowsWanted + 1, storeLimits.scanItemsMax);
    const seenAt = io.clock.now();
    const page = await io.store.scan({ partition, from: offsetKey(offset), limit, bytesMax });
    const rows = page.items.map(readBatchRow);
    if (rows[0]?.base !== offset && !this.#isTail(name, offset, rows)) {
      const holder = await readRowAtOrBelow(io, partition, offset);
      const holderEnd = holder === undefined ? base : holder.base + holder.count;
      if (holder !== undefined && holderEnd > offset) rows.unshift(holder);
      else if (rows.length > 0) return undefined;
      else if (holderEnd < offset || offset < base) {
        throw outOfRange(queue, offset, { min: base, max: holderEnd });
      }
    }
    const end = endOf(rows, offset);
    if (end === undefined) return undefined;
    this.#rememberShape(name, rows, end);
    for (const row of rows) this.#cache.add(queue, row);
    const maxOffset = page.more ? await this.#tailBehind(io, { partition, name, end }) : end;
    if (!page.more) this.#sawTail(name, end, seenAt);
    return { rows, minOffset: base, maxOffset };
  }

  /** Both ends of a queue: the offset of the first message that it holds, and that of the next one that comes. */
  async range(io: Ports, queue: QueueId): Promise<{ readonly min: number; readonly max: number }> {
    const base = await this.#directory.activeBase(io, queue);
    const last = await readLastRow(io, partitions.batches(queue, base));
    return { min: base, max: last === undefined ? base : last.base + last.count };
  }

  /** All that is asked for, if it was read lately. */
  #cachedRows(
    queue: QueueId,
    offset: number,
    { messagesMax, bytesMax }: ReadLimits,
  ): { readonly rows: BatchRow[]; readonly end: number } | undefined {
    const rows: BatchRow[] = [];
    let end = offset;
    for (let bytes = 0; end - offset < messagesMax && bytes < bytesMax; ) {
      const row = this.#cache.get(queue, end);
      if (row === undefined) return undefined;
      rows.push(row);
      end += row.count;
      bytes += row.batches.length;
    }
    return { rows, end };
  }

  #isTail(name: string, offset: number, rows: readonly BatchRow[]): boolean {
    return rows.length === 0 && this.#boundaries.has(`${name}@${offset}`);
  }

  async #tailBehind(
    io: Ports,
    { partition, name, end }: { partition: Uint8Array; name: string; end: number },
  ): Promise<number> {
    const known = this.#tails.get(name);
    // There may be more behind `end`, so an end that is not behind it may be out of date.
    if (known !== undefined && known.offset > end && io.clock.now() - known.seenAt < tailAgeMsMax)
      return known.offset;
    const seenAt = io.clock.now();
    const last = await readLastRow(io, partition);
    const offset = last === undefined ? end : Math.max(last.base + last.count, end);
    this.#sawTail(name, offset, seenAt);
    return offset;
  }

  /** A queue only grows, so a lower end comes from a read that was overtaken. */
  #sawTail(name: string, offset: number, seenAt: number): void {
    const known = this.#tails.get(name);
    if (known === undefined || known.offset <= offset) this.#tails.set(name, { offset, seenAt });
  }

  #rememberShape(name: string, rows: readonly BatchRow[], end: number): void {
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

/** Where the rows end; `undefined` where they do not follow each other. */
function endOf(rows: readonly BatchRow[], offset: number): number | undefined {
  let end = rows[0]?.base ?? offset;
  for (const row of rows) {
    if (row.base !== end) return undefined;
    end += row.count;
  }
  return end;
}

function outOfRange(
  { queue }: QueueId,
  offset: number,
  range: { min: number; max: number },
): BrokerError {
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
