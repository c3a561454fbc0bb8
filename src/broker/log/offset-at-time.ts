import type { Ports } from "../ports/ports.ts";
import { partitions, type QueueId } from "../schema.ts";
import { readArchivedRows } from "./archived-rows.ts";
import { isSeal } from "./batch-row.ts";
import { readLastRow, readRowAtOrBelow } from "./queue-rows.ts";
import { type ArchivedSegment, type DirectoryEntry, isIn } from "./segment.ts";
import { giveUpReading, readsMax, type SegmentDirectory } from "./segment-directory.ts";

/**
 * The offset of the first message of a queue that was stored at or after `at` (broker time, ms); the queue's end where
 * there is none. `storedAt` never falls along a queue, so it is found by halving: first the directory, then the rows of
 * one segment or the blocks of its archive. That takes at most as many reads as the range of offsets has bits, and four.
 * A segment may be sealed, archived or trimmed meanwhile; then all is read again.
 */
export async function offsetAtTime(
  io: Ports,
  directory: SegmentDirectory,
  queue: QueueId,
  at: number,
): Promise<number> {
  for (let attempt = 1; attempt <= readsMax; attempt++) {
    const offset = await offsetAtTimeOnce(io, directory, queue, at);
    if (offset !== undefined) return offset;
  }
  return await giveUpReading(io, queue);
}

async function offsetAtTimeOnce(
  io: Ports,
  directory: SegmentDirectory,
  queue: QueueId,
  at: number,
): Promise<number | undefined> {
  const entry = await segmentAtTime(io, directory, queue, at);
  if (entry === undefined) return undefined;
  directory.expectNotExpired(io, queue, entry);
  if (entry.segment.after >= at) return entry.base;
  return isIn(entry, "archived")
    ? firstInArchive(io, queue, entry, at)
    : firstAmongRows(io, directory, queue, entry, at);
}

/** The last segment before which everything is earlier than `at`, or the first one of all. */
async function segmentAtTime(
  io: Ports,
  directory: SegmentDirectory,
  queue: QueueId,
  at: number,
): Promise<DirectoryEntry | undefined> {
  const { first, last } = await directory.ends(io, queue);
  if (last.segment.after < at) return last;
  if (first.segment.after >= at) return first;
  let low = first.base;
  let high = last.base - 1;
  while (low <= high) {
    const middle = low + Math.floor((high - low) / 2);
    const entry = await directory.below(io, queue, middle);
    if (entry === undefined || !isIn(entry, "sealed", "archived")) return undefined;
    if (entry.segment.after >= at) high = entry.base - 1;
    else if (entry.segment.lastAt >= at) return entry;
    else low = entry.segment.end;
  }
  return undefined;
}

/** `undefined` where the rows went meanwhile, or another segment has begun behind them. */
async function firstAmongRows(
  io: Ports,
  directory: SegmentDirectory,
  queue: QueueId,
  { base, segment, version }: DirectoryEntry,
  at: number,
): Promise<number | undefined> {
  const partition = partitions.batches(queue, { base, part: segment.part });
  let low = base;
  let high: number;
  if ("end" in segment) high = segment.end;
  else {
    const last = await readLastRow(io, partition);
    if (last === undefined) {
      // None has come yet, or all have gone since the entry was read.
      const now = await directory.ends(io, queue);
      return now.last.version === version ? base : undefined;
    }
    if (isSeal(last)) return undefined;
    if (last.storedAt < at) return last.base + last.count;
    high = last.base;
  }
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    const row = await readRowAtOrBelow(io, partition, middle);
    const rowEnd = row === undefined ? low : row.base + row.count;
    if (row === undefined || rowEnd <= middle) return undefined;
    if (row.storedAt < at) low = rowEnd;
    else high = row.base;
  }
  return low;
}

/** `undefined` where the blob is gone, and so the segment. */
async function firstInArchive(
  io: Ports,
  queue: QueueId,
  entry: DirectoryEntry<ArchivedSegment>,
  at: number,
): Promise<number | undefined> {
  const { base, segment } = entry;
  // Of this block the first row is too early; what is wanted lies in it, or the next block begins with it.
  const block = segment.blocks.findLast(([, storedAt]) => storedAt < at);
  if (block === undefined) return base;
  const place = { offset: base + block[0], bytesWanted: 0 };
  const rows = await readArchivedRows(io, queue, entry, place);
  if (rows === undefined) return undefined;
  let end = place.offset;
  for (const row of rows) {
    if (row.storedAt >= at) return row.base;
    end = row.base + row.count;
  }
  return end;
}
