import { limits } from "../limits.ts";
import type { Ports } from "../ports/ports.ts";
import type { ScanRange } from "../ports/store.ts";
import { offsetKey } from "../schema.ts";
import { type BatchRow, readBatchRow } from "./batch-row.ts";

/** Rows a page when a chain of rows is walked; a page also ends at `pullBytesMax` bytes. */
const walkPageRows = 128;

/** The last row of a partition, `undefined` where it is empty. */
export async function readLastRow(io: Ports, partition: Uint8Array): Promise<BatchRow | undefined> {
  const page = await io.store.scan({ partition, reverse: true, limit: 1 });
  const last = page.items[0];
  return last === undefined ? undefined : readBatchRow(last);
}

/** The row that holds `offset`, or the last one below it. */
export async function readRowAtOrBelow(
  io: Ports,
  partition: Uint8Array,
  offset: number,
): Promise<BatchRow | undefined> {
  const page = await io.store.scan({ partition, to: offsetKey(offset), reverse: true, limit: 1 });
  const row = page.items[0];
  return row === undefined ? undefined : readBatchRow(row);
}

/** The rows from the one at `offset` on, in pages, for as long as the caller asks. */
export async function* rowsFrom(
  io: Ports,
  partition: Uint8Array,
  offset: number,
): AsyncGenerator<BatchRow> {
  let from = offset;
  for (;;) {
    const page = await walk(io, { partition, from: offsetKey(from) });
    for (const item of page.items) {
      const row = readBatchRow(item);
      from = row.base + row.count;
      yield row;
    }
    if (!page.more) return;
  }
}

/** The rows below `offset`, last one first, in pages, for as long as the caller asks. */
export async function* rowsBelow(
  io: Ports,
  partition: Uint8Array,
  offset: number,
): AsyncGenerator<BatchRow> {
  let below = offset;
  while (below > 0) {
    const page = await walk(io, { partition, to: offsetKey(below - 1), reverse: true });
    for (const item of page.items) {
      const row = readBatchRow(item);
      below = row.base;
      yield row;
    }
    if (!page.more) return;
  }
}

function walk(io: Ports, range: Omit<ScanRange, "limit" | "bytesMax">) {
  return io.store.scan({ ...range, limit: walkPageRows, bytesMax: limits.pullBytesMax });
}
