import { readU32, readU48, writeU32, writeU48 } from "../bytes.ts";
import { crc32c } from "../crc32c.ts";
import { Damaged } from "../ports/failures.ts";
import type { Item } from "../ports/store.ts";
import { queueOffsetOf } from "../schema.ts";
import { type Batch, readBatch } from "./batch.ts";
import { BatchFormatError } from "./batch-format-error.ts";

/**
 * One row of the log: one or more batches, landed by one conditional put under the queue offset of the first message.
 * Offsets live in the key, never in a batch, so a batch can be put elsewhere without being encoded again.
 */
export interface BatchRow {
  readonly base: number;
  /** Messages in all its batches: the next row begins at `base + count`. */
  readonly count: number;
  /** Broker time of the append (ms), never less than the row's before. */
  readonly storedAt: number;
  /** The batches, encoded, one behind the other. */
  readonly batches: Uint8Array;
}

/** A batch of a row and the offset of its first message. */
export interface PlacedBatch {
  readonly base: number;
  readonly storedAt: number;
  readonly batch: Batch;
}

const headBytes = 15;
const formatVersion = 1;
const at = { version: 0, storedAt: 1, count: 7, checksum: 11 } as const;

/** A row in parts: its head, and the batches as they are. */
export function encodeBatchRow(storedAt: number, batches: readonly Batch[]): Uint8Array[] {
  const head = new Uint8Array(headBytes);
  head[at.version] = formatVersion;
  writeU48(head, at.storedAt, storedAt);
  writeU32(
    head,
    at.count,
    batches.reduce((sum, batch) => sum + batch.count, 0),
  );
  writeU32(head, at.checksum, crc32c(head, 0, at.checksum));
  return [head, ...batches.map((batch) => batch.bytes)];
}

/** Reads the head of a row, under a checksum of its own. Throws `Damaged`. */
export function readBatchRow({ key, value }: Pick<Item, "key" | "value">): BatchRow {
  const intact = value.length > headBytes && value[0] === formatVersion;
  if (!intact || readU32(value, at.checksum) !== crc32c(value, 0, at.checksum))
    throw new Damaged("batch row");
  return {
    base: queueOffsetOf(key.sort),
    count: readU32(value, at.count),
    storedAt: readU48(value, at.storedAt),
    batches: value.subarray(headBytes),
  };
}

const verified = new WeakMap<BatchRow, PlacedBatch[]>();

/** The batches of a row, each verified against its checksum, once for as long as somebody keeps the row. Throws `Damaged`. */
export function placedBatches(row: BatchRow): readonly PlacedBatch[] {
  const known = verified.get(row);
  if (known !== undefined) return known;
  const placed: PlacedBatch[] = [];
  let base = row.base;
  for (let place = 0; place < row.batches.length; ) {
    const batch = readStoredBatch(row.batches, place);
    placed.push({ base, storedAt: row.storedAt, batch });
    base += batch.count;
    place += batch.bytes.length;
  }
  if (base !== row.base + row.count) throw new Damaged("batch row");
  verified.set(row, placed);
  return placed;
}

function readStoredBatch(bytes: Uint8Array, place: number): Batch {
  try {
    return readBatch(bytes, place);
  } catch (error) {
    if (error instanceof BatchFormatError) throw new Damaged("batch", { cause: error });
    throw error;
  }
}
