import { readU32, readU48, readU64, writeU32, writeU48, writeU64 } from "../bytes.ts";
import { crc32c } from "../crc32c.ts";
import { Damaged } from "../ports/failures.ts";
import { offsetKey } from "../schema.ts";
import { type BatchRow, readBatchRow } from "./batch-row.ts";

/**
 * The blob of an archived segment. It describes itself, so whoever loses the race to put it uses the one that is there.
 * All numbers are big-endian.
 *
 * | part   | bytes                                                                                           |
 * |--------|-------------------------------------------------------------------------------------------------|
 * | head   | magic "TSEG", version u32, base u64, end u64, number of blocks u32, CRC32C of head and index u32 |
 * | index  | a block each: offset of its first row less the base u32, storedAt of that row u48, place u32     |
 * | rows   | one behind the other: offset u64, length u32, the row as it lay in the store                     |
 */
export interface Archive {
  readonly base: number;
  readonly end: number;
  readonly blocks: ArchiveBlocks;
}

/** Every 128 KB a place where a row begins: its offset less the segment's base, when it was stored (ms), where it is in the blob. */
export type ArchiveBlocks = readonly (readonly [offset: number, storedAt: number, place: number])[];

export const archiveBlockBytes = 131_072;
const magic = 0x54534547;
const formatVersion = 1;
const headBytes = 32;
const blockBytes = 14;
const rowHeadBytes = 12;
const checksumAt = 28;

export interface ArchivableRow {
  readonly row: BatchRow;
  readonly value: Uint8Array;
}

/** Rows of a whole segment, in their order and without a gap, as one blob. */
export function encodeArchive(
  { base, end }: { readonly base: number; readonly end: number },
  rows: readonly ArchivableRow[],
): Uint8Array {
  const starts: { row: BatchRow; place: number }[] = [];
  let rowBytes = 0;
  let blockEnd = 0;
  for (const { row, value } of rows) {
    if (rowBytes >= blockEnd) {
      starts.push({ row, place: rowBytes });
      blockEnd = rowBytes + archiveBlockBytes;
    }
    rowBytes += rowHeadBytes + value.length;
  }
  const indexEnd = headBytes + starts.length * blockBytes;
  const bytes = new Uint8Array(indexEnd + rowBytes);
  writeU32(bytes, 0, magic);
  writeU32(bytes, 4, formatVersion);
  writeU64(bytes, 8, base);
  writeU64(bytes, 16, end);
  writeU32(bytes, 24, starts.length);
  starts.forEach(({ row, place }, index) => {
    const at = headBytes + index * blockBytes;
    writeU32(bytes, at, row.base - base);
    writeU48(bytes, at + 4, row.storedAt);
    writeU32(bytes, at + 10, indexEnd + place);
  });
  writeU32(bytes, checksumAt, checksumOf(bytes, indexEnd));
  let at = indexEnd;
  for (const { row, value } of rows) {
    writeU64(bytes, at, row.base);
    writeU32(bytes, at + 8, value.length);
    bytes.set(value, at + rowHeadBytes);
    at += rowHeadBytes + value.length;
  }
  return bytes;
}

/** Reads the description that a blob begins with; `bytes` may be cut behind it. Throws `Damaged`. */
export function readArchive(bytes: Uint8Array): Archive {
  const known = bytes.length >= headBytes && readU32(bytes, 0) === magic;
  const blockCount = known ? readU32(bytes, 24) : 0;
  const indexEnd = headBytes + blockCount * blockBytes;
  const whole = known && readU32(bytes, 4) === formatVersion && bytes.length >= indexEnd;
  if (!whole || readU32(bytes, checksumAt) !== checksumOf(bytes, indexEnd)) {
    throw new Damaged("archived segment");
  }
  const blocks = Array.from({ length: blockCount }, (_, index) => {
    const at = headBytes + index * blockBytes;
    return [readU32(bytes, at), readU48(bytes, at + 4), readU32(bytes, at + 10)] as const;
  });
  return { base: readU64(bytes, 8), end: readU64(bytes, 16), blocks };
}

/** So much of a blob holds its description, whatever segment it is of. */
export const archiveDescriptionBytes = 65_536;

/** The rows that a piece of a blob holds whole. The piece begins where a row begins. Throws `Damaged`. */
export function* archivedRows(piece: Uint8Array): Generator<BatchRow> {
  for (let at = 0; at + rowHeadBytes <= piece.length; ) {
    const end = at + rowHeadBytes + readU32(piece, at + 8);
    if (end > piece.length) return;
    const sort = offsetKey(readU64(piece, at));
    const value = piece.subarray(at + rowHeadBytes, end);
    yield readBatchRow({ key: { partition: noBytes, sort }, value });
    at = end;
  }
}

const noBytes = new Uint8Array(0);

function checksumOf(bytes: Uint8Array, indexEnd: number): number {
  const index = crc32c(bytes, headBytes, indexEnd);
  const head = bytes.slice(0, headBytes);
  writeU32(head, checksumAt, index);
  return crc32c(head);
}
