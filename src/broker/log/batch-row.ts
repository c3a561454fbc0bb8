import { readU16, readU32, readU48, writeU16, writeU32, writeU48 } from "../bytes.ts";
import { crc32c } from "../crc32c.ts";
import { Damaged } from "../ports/failures.ts";
import type { Item } from "../ports/store.ts";
import { queueOffsetOf } from "../schema.ts";
import { type Batch, batchHeadBytes, headOf, type LargeBatchPlace, readBatch } from "./batch.ts";
import { BatchFormatError } from "./batch-format-error.ts";

/**
 * One row of the log: one or more batches, landed by one conditional put under the queue offset of the first message.
 * Offsets live in the key, never in a batch, so a batch can be put elsewhere without being encoded again. A row without
 * batches is a seal: its segment ends there.
 */
export interface BatchRow {
  readonly base: number;
  /** Messages in all its batches: the next row begins at `base + count`. 0: a seal. */
  readonly count: number;
  /** Broker time of the append (ms), never less than the row's before. */
  readonly storedAt: number;
  /** Which row of its segment it is, from 0. */
  readonly index: number;
  /** Bytes of its segment's rows up to this one, itself included. */
  readonly segmentBytes: number;
  /** The batches, encoded, one behind the other; where `isLarge`, the head of one and where it lies. */
  readonly batches: Uint8Array;
  /** It holds one batch, which lies in a blob. */
  readonly isLarge: boolean;
}

/** What a row says of itself and its place in its segment. */
export type RowHead = Pick<BatchRow, "storedAt" | "index" | "segmentBytes">;

/** A batch of a row and the offset of its first message. */
export interface PlacedBatch {
  readonly base: number;
  readonly storedAt: number;
  readonly batch: Batch;
}

export const rowHeadBytes = 21;
const formatVersion = 1;
const largeFormatVersion = 2;
const at = {
  version: 0,
  storedAt: 1,
  count: 7,
  index: 11,
  segmentBytes: 13,
  checksum: 17,
} as const;

/** A row in parts: its head, and the batches as they are. None: a seal. A large batch is in a row by itself. */
export function encodeBatchRow(
  { storedAt, index, segmentBytes }: RowHead,
  batches: readonly Batch[],
): Uint8Array[] {
  const [first] = batches;
  const large = first?.large;
  const head = new Uint8Array(rowHeadBytes);
  head[at.version] = large === undefined ? formatVersion : largeFormatVersion;
  writeU48(head, at.storedAt, storedAt);
  writeU16(head, at.index, index);
  writeU32(head, at.segmentBytes, segmentBytes);
  writeU32(
    head,
    at.count,
    batches.reduce((sum, batch) => sum + batch.count, 0),
  );
  writeU32(head, at.checksum, crc32c(head, 0, at.checksum));
  if (first !== undefined && large !== undefined) return [head, encodePlace(first.bytes, large)];
  return [head, ...batches.map((batch) => batch.bytes)];
}

/** Reads the head of a row, under a checksum of its own. Throws `Damaged`. */
export function readBatchRow({ key, value }: Pick<Item, "key" | "value">): BatchRow {
  const version = value[at.version];
  const known = version === formatVersion || version === largeFormatVersion;
  const intact = value.length >= rowHeadBytes && known;
  if (!intact || readU32(value, at.checksum) !== crc32c(value, 0, at.checksum))
    throw new Damaged("batch row");
  return {
    base: queueOffsetOf(key.sort),
    count: readU32(value, at.count),
    storedAt: readU48(value, at.storedAt),
    index: readU16(value, at.index),
    segmentBytes: readU32(value, at.segmentBytes),
    batches: value.subarray(rowHeadBytes),
    isLarge: version === largeFormatVersion,
  };
}

const verified = new WeakMap<BatchRow, PlacedBatch[]>();

export function isSeal(row: BatchRow): boolean {
  return row.count === 0;
}

const placeAt = {
  day: batchHeadBytes,
  object: batchHeadBytes + 4,
  start: batchHeadBytes + 20,
  length: batchHeadBytes + 24,
  checksum: batchHeadBytes + 28,
} as const;
const placeBytes = batchHeadBytes + 32;

/** The head of a batch and where all of it lies, under a checksum of their own. */
function encodePlace(batchHead: Uint8Array, large: LargeBatchPlace): Uint8Array {
  const bytes = new Uint8Array(placeBytes);
  bytes.set(batchHead);
  writeU32(bytes, placeAt.day, large.day);
  bytes.set(large.object, placeAt.object);
  writeU32(bytes, placeAt.start, large.start);
  writeU32(bytes, placeAt.length, large.length);
  writeU32(bytes, placeAt.checksum, crc32c(bytes, 0, placeAt.checksum));
  return bytes;
}

function decodePlace(bytes: Uint8Array): Batch {
  const intact = bytes.length === placeBytes;
  if (!intact || readU32(bytes, placeAt.checksum) !== crc32c(bytes, 0, placeAt.checksum))
    throw new Damaged("batch row");
  return {
    ...headOf(bytes.subarray(0, batchHeadBytes)),
    large: {
      day: readU32(bytes, placeAt.day),
      object: bytes.subarray(placeAt.object, placeAt.start),
      start: readU32(bytes, placeAt.start),
      length: readU32(bytes, placeAt.length),
    },
  };
}

/** The batches of a row, each verified against its checksum, once for as long as somebody keeps the row. Throws `Damaged`. */
export function placedBatches(row: BatchRow): readonly PlacedBatch[] {
  const known = verified.get(row);
  if (known !== undefined) return known;
  const placed: PlacedBatch[] = [];
  let { base } = row;
  if (row.isLarge) {
    const batch = decodePlace(row.batches);
    placed.push({ base, storedAt: row.storedAt, batch });
    base += batch.count;
  } else {
    for (let place = 0; place < row.batches.length; ) {
      const batch = readStoredBatch(row.batches, place);
      placed.push({ base, storedAt: row.storedAt, batch });
      base += batch.count;
      place += batch.bytes.length;
    }
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
