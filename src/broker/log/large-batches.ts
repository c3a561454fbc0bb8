import { concatBytes } from "../bytes.ts";
import { commitUntilDecided } from "../decided-commit.ts";
import { limits } from "../limits.ts";
import { Damaged, Unavailable } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import { largeObjectKey, largeObjectPrefix, minuteShardOf, partitions } from "../schema.ts";
import { startOf } from "../timers/timer.ts";
import { putWork, type Work } from "../work/work.ts";
import type { WorkDone } from "../work/work-queue.ts";
import { type Batch, batchHeadBytes, type LargeBatchPlace, readBatch } from "./batch.ts";
import { BatchFormatError } from "./batch-format-error.ts";
import type { BatchRow } from "./batch-row.ts";
import type { LogSettings } from "./log-settings.ts";

const dayMs = 24 * 60 * 60_000;
const objectIdBytes = 16;
const deletedAtOnce = 100;
/** Longer than a minute is listed after its end. */
const putOffMs = 10 * 60_000;

/**
 * Batches that are too large for a row of the store lie in blobs, all those of one request in one object. An object has
 * no single owner, for the queues that point to it forget it at different times; so its key begins with the last day on
 * which anybody can need it, and only whole days that have passed are deleted.
 */
export class LargeBatches {
  readonly #settings: LogSettings;
  /** Days whose deletion is stored, as far as this process knows. */
  readonly #daysToDelete = new Set<number>();

  constructor(settings: LogSettings) {
    this.#settings = settings;
  }

  /**
   * Puts the batches that are too large for a row into one object, and answers all parts as they are to be appended. What
   * lies in an object that goes too early is put into another: no segment could take it.
   */
  async place<T extends { readonly batch: Batch }>(
    io: Ports,
    given: readonly T[],
    retentionMs: number,
  ): Promise<readonly T[]> {
    const goesTooEarly = ({ batch }: T) => this.#goesTooEarly(io, batch, retentionMs);
    const again = async (part: T) => ({ ...part, batch: readBatch(await bytesOf(io, part.batch)) });
    const parts = given.some(goesTooEarly)
      ? await Promise.all(given.map((part) => (goesTooEarly(part) ? again(part) : part)))
      : given;
    const large = parts.map(({ batch }) => batch).filter((batch) => this.#isLarge(batch));
    if (large.length === 0) return parts;
    const day = Math.floor((io.clock.now() + this.#longestUse(retentionMs)) / dayMs);
    await this.#ensureDeleted(io, day);
    const object = io.random.bytes(objectIdBytes);
    const key = largeObjectKey(day, object);
    const outcome = await io.blobs.put(key, concatBytes(large.map(({ bytes }) => bytes)));
    // Nobody points to it yet. If it is there after all, it goes with its day.
    if (outcome !== "stored") throw new Unavailable("a large batch could not be put");
    let start = 0;
    return parts.map((part) => {
      const { batch } = part;
      if (!this.#isLarge(batch)) return part;
      const { length } = batch.bytes;
      const place: LargeBatchPlace = { day, object, start, length };
      start += length;
      return {
        ...part,
        batch: { ...batch, bytes: batch.bytes.subarray(0, batchHeadBytes), large: place },
      };
    });
  }

  /** A row whose large batch lies in a blob as if it held it; any other row as it is. Throws `Damaged`. */
  async whole(io: Ports, row: BatchRow, batch: Batch): Promise<BatchRow> {
    if (batch.large === undefined) return row;
    return { ...row, batches: await bytesOf(io, batch), isLarge: false };
  }

  #isLarge({ bytes, large }: Batch): boolean {
    return large === undefined && bytes.length > this.#settings.inlineBatchBytesMax;
  }

  /** Half of the grace is left for whatever holds up the append. */
  #goesTooEarly(io: Ports, { large }: Batch, retentionMs: number): boolean {
    const usedMs = this.#longestUse(retentionMs) - limits.largeBatchGraceMs / 2;
    return large !== undefined && largeBatchUntil(large) < io.clock.now() + usedMs;
  }

  /** How long a row that is appended soon can be read, in a segment that is opened soon. */
  #longestUse(retentionMs: number): number {
    const { segmentAgeMs, rowsKeptMs } = this.#settings;
    const rowLifeMs = Math.max(retentionMs, rowsKeptMs, limits.rowLifeMsMin) + limits.rowGraceMs;
    return segmentAgeMs + rowLifeMs + limits.largeBatchGraceMs;
  }

  /** Before the first object of a day is put, its deletion is stored: what a crash leaves behind goes with the rest. */
  async #ensureDeleted(io: Ports, day: number): Promise<void> {
    if (this.#daysToDelete.has(day)) return;
    const work = putWork(io, { dueAt: endOfDay(day), work: { kind: "drop-large", day, round: 1 } });
    await commitUntilDecided(io, [work], io.clock.now() + limits.appendDeadlineMs);
    this.#daysToDelete.add(day);
  }
}

/** Until when the object is surely there (ms). */
export function largeBatchUntil({ day }: LargeBatchPlace): number {
  return endOfDay(day);
}

/** Deletes the objects of a day that has passed, some of them at a time, once no delayed message of that day waits any more. */
export async function doDropLarge(
  io: Ports,
  work: Extract<Work, { kind: "drop-large" }>,
  { strayBlobMs }: LogSettings,
): Promise<WorkDone> {
  // A minute is listed until all that was due in it is delivered, which is days late where nobody ran for days.
  const [minute] = (await io.store.scan({ partition: partitions.minutes, limit: 1 })).items;
  if (minute !== undefined && startOf(minuteShardOf(minute.key.sort).minute) < endOfDay(work.day))
    return { writes: [putWork(io, { dueAt: io.clock.now() + putOffMs, work })] };
  const { blobs } = await io.blobs.list(largeObjectPrefix(work.day), { limit: deletedAtOnce });
  for (const { key } of blobs) await io.blobs.delete(key);
  if (blobs.length > 0) return "again";
  if (work.round === 2) return { writes: [] };
  // Somebody who was held up all the while may put one after this.
  const dueAt = io.clock.now() + strayBlobMs;
  return { writes: [putWork(io, { dueAt, work: { ...work, round: 2 } })] };
}

/** Throws `Damaged`. */
async function bytesOf(io: Ports, { large, bytes: inline, checksum }: Batch): Promise<Uint8Array> {
  if (large === undefined) return inline;
  const { day, object, start, length } = large;
  const bytes = await io.blobs.get(largeObjectKey(day, object), { start, length });
  if (bytes === undefined || checksumIn(bytes) !== checksum) throw new Damaged("large batch");
  return bytes;
}

function endOfDay(day: number): number {
  return (day + 1) * dayMs;
}

function checksumIn(bytes: Uint8Array): number {
  try {
    return readBatch(bytes).checksum;
  } catch (error) {
    if (error instanceof BatchFormatError) throw new Damaged("large batch", { cause: error });
    throw error;
  }
}
