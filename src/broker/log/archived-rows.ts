import { Damaged } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import { archiveKey, type QueueId } from "../schema.ts";
import { archiveBlockBytes, archivedRows } from "./archive.ts";
import type { BatchRow } from "./batch-row.ts";
import type { ArchivedSegment, DirectoryEntry } from "./segment.ts";

/**
 * Rows of an archived segment from the one that holds `offset` on, by one ranged get: at least one, and about as many
 * bytes as are wanted. `undefined` where the blob is gone: then so is the entry.
 */
export async function readArchivedRows(
  io: Ports,
  queue: QueueId,
  { base, segment }: DirectoryEntry<ArchivedSegment>,
  { offset, bytesWanted }: { readonly offset: number; readonly bytesWanted: number },
): Promise<BatchRow[] | undefined> {
  const { blocks, part } = segment;
  const index = blockHolding(blocks, offset - base);
  const start = blocks[index]?.[2] ?? 0;
  // Where blocks begin, rows do; a piece that ended elsewhere would end with a row that is cut.
  const enough = start + archiveBlockBytes + bytesWanted;
  const end = blocks.find(([, , place], at) => at > index && place >= enough)?.[2];
  const length = (end ?? Number.MAX_SAFE_INTEGER) - start;
  const piece = await io.blobs.get(archiveKey(queue, { base, part }), { start, length });
  if (piece === undefined) return undefined;
  const rows: BatchRow[] = [];
  // No checksum covers where a row of a blob lies in its queue, so it has to follow from the directory entry.
  let next = base + (blocks[index]?.[0] ?? 0);
  for (const row of archivedRows(piece)) {
    if (row.base !== next) throw new Damaged("archived segment");
    next += row.count;
    if (next > offset) rows.push(row);
  }
  if (rows.length === 0) throw new Damaged("archived segment");
  return rows;
}

/** Of the last block that begins at or below an offset within the segment. */
function blockHolding(blocks: ArchivedSegment["blocks"], offset: number): number {
  let low = 0;
  let high = blocks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((blocks[middle]?.[0] ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
