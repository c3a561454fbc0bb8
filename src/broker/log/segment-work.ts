import { limits } from "../limits.ts";
import { Damaged, Unavailable } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import { type Item, storeLimits, type Write } from "../ports/store.ts";
import { archiveKey, keys, offsetKey, partitions } from "../schema.ts";
import type { DueWork, SegmentOfQueue, Work } from "../work/work.ts";
import type { WorkDone } from "../work/work-queue.ts";
import {
  type ArchivableRow,
  type Archive,
  archiveDescriptionBytes,
  encodeArchive,
  readArchive,
} from "./archive.ts";
import { isSeal, readBatchRow } from "./batch-row.ts";
import { endOfRows } from "./end-of-rows.ts";
import { type DirectoryEntry, hasExpired, isIn, readEntry, type SealedSegment } from "./segment.ts";
import type { SegmentChanges } from "./segment-changes.ts";

export type SegmentWork = Extract<Work, SegmentOfQueue>;

/**
 * Does what is due of a segment, judged by what its directory entry says now. Every kind may be done twice, at once or
 * one after the other, and may be cut off anywhere.
 */
export async function doSegmentWork(
  io: Ports,
  changes: SegmentChanges,
  { work }: DueWork & { readonly work: SegmentWork },
): Promise<WorkDone> {
  switch (work.kind) {
    case "seal":
      return seal(io, changes, work);
    case "archive":
      return archive(io, changes, work);
    case "trim":
      return trim(io, changes, work);
    case "drop-rows":
      return dropRows(io, work);
    case "drop-blob":
      await io.blobs.delete(archiveKey(work, work));
      return done;
  }
}

const done: WorkDone = { writes: [] };
/** The same work is to be looked at again, at once. */
const again: WorkDone = "again";

async function seal(io: Ports, changes: SegmentChanges, work: SegmentOfQueue): Promise<WorkDone> {
  const entry = await entryOf(io, work);
  if (entry === undefined || !isIn(entry, "open")) return done;
  if (io.clock.now() < entry.segment.sealAt) return done;
  const end = await endOfRows(io, work);
  // A seal that somebody else put turned the entry in the same commit.
  if (end !== undefined) await changes.seal(io, work, entry, end);
  return again;
}

/** The blob first, then the entry that sends readers there. */
async function archive(
  io: Ports,
  changes: SegmentChanges,
  work: SegmentOfQueue,
): Promise<WorkDone> {
  const entry = await entryOf(io, work);
  if (entry === undefined || !isIn(entry, "sealed")) return done;
  if (hasExpired(entry, io.clock.now())) return trim(io, changes, work);
  try {
    const { blocks } = await putArchive(io, work, entry);
    return { writes: changes.archived(io, work, entry, blocks) };
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    const current = await entryOf(io, work);
    // Its rows went while they were read: nothing is damaged.
    if (current?.version !== entry.version || hasExpired(current, io.clock.now())) return again;
    throw error;
  }
}

/** Whoever finds a blob there already describes that one, not his own (rule 13 of the log). */
async function putArchive(
  io: Ports,
  id: SegmentOfQueue,
  entry: DirectoryEntry<SealedSegment>,
): Promise<Archive> {
  const { base, segment } = entry;
  const range = { base, end: segment.end };
  const key = archiveKey(id, id);
  const bytes = encodeArchive(range, await allRows(io, id, segment.end));
  const outcome = await io.blobs.put(key, bytes);
  if (outcome === "stored") return readArchive(bytes);
  const there = await io.blobs.get(key, { start: 0, length: archiveDescriptionBytes });
  if (there === undefined) throw new Unavailable("whether the blob was put is not known");
  const found = readArchive(there);
  if (found.base !== base || found.end !== segment.end) throw new Damaged("archived segment");
  return found;
}

/** Every row of a segment, in an unbroken chain (rules 12 and 13 of the log). */
async function allRows(io: Ports, id: SegmentOfQueue, end: number): Promise<ArchivableRow[]> {
  const rows: ArchivableRow[] = [];
  let next = id.base;
  while (next < end) {
    const page = await io.store.scan({
      partition: partitions.batches(id, id),
      from: offsetKey(next),
      limit: storeLimits.scanItemsMax,
      bytesMax: limits.pullBytesMax,
    });
    for (const item of page.items) {
      const row = readBatchRow(item);
      if (row.base !== next) throw new Damaged("chain of rows");
      if (isSeal(row)) break;
      rows.push({ row, value: item.value });
      next += row.count;
    }
    if (!page.more) break;
  }
  if (next !== end) throw new Damaged("chain of rows");
  return rows;
}

async function trim(io: Ports, changes: SegmentChanges, work: SegmentOfQueue): Promise<WorkDone> {
  const entry = await entryOf(io, work);
  if (entry === undefined || !isIn(entry, "sealed", "archived")) return done;
  await changes.trim(io, work, entry.base);
  return again;
}

/** First rows first and the seal last: whoever still counts with the segment finds its end to the end. */
async function dropRows(io: Ports, work: SegmentOfQueue): Promise<WorkDone> {
  const page = await io.store.scan({
    partition: partitions.batches(work, work),
    limit: storeLimits.commitWritesMax,
    bytesMax: limits.pullBytesMax,
  });
  if (page.items.length === 0) return done;
  await deleteItems(io, page.items);
  return again;
}

export async function deleteItems(io: Ports, items: readonly Pick<Item, "key">[]): Promise<void> {
  const writes = items.map(({ key }): Write => ({ kind: "delete", key }));
  await io.store.commit(writes, io.clock.now() + limits.appendDeadlineMs);
}

/** The entry of this part of the segment, as it is now. */
async function entryOf(io: Ports, id: SegmentOfQueue): Promise<DirectoryEntry | undefined> {
  const readAt = io.clock.now();
  const [item] = await io.store.get([keys.segment(id, id.base)]);
  if (item === undefined) return undefined;
  const entry = readEntry(item, readAt);
  return entry.segment.part === id.part ? entry : undefined;
}
