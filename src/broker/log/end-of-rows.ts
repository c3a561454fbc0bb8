import type { Ports } from "../ports/ports.ts";
import { partitions } from "../schema.ts";
import type { SegmentOfQueue } from "../work/work.ts";
import { isSeal } from "./batch-row.ts";
import { readLastRow } from "./queue-rows.ts";
import type { SegmentEnd } from "./segment-changes.ts";

/** Where the rows of a segment end; `undefined` behind a seal. */
export async function endOfRows(io: Ports, id: SegmentOfQueue): Promise<SegmentEnd | undefined> {
  const last = await readLastRow(io, partitions.batches(id, id));
  if (last === undefined) return { offset: id.base, rows: 0, bytes: 0, storedAt: -1 };
  if (isSeal(last)) return undefined;
  const { base, count, index, segmentBytes: bytes, storedAt } = last;
  return { offset: base + count, rows: index + 1, bytes, storedAt };
}
