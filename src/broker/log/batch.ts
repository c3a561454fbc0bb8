import {
  concatBytes,
  hex,
  readU16,
  readU32,
  readU48,
  writeU16,
  writeU32,
  writeU48,
} from "../bytes.ts";
import { crc32c } from "../crc32c.ts";
import { limits } from "../limits.ts";
import type { Compression } from "../ports/compression.ts";
import { BatchFormatError } from "./batch-format-error.ts";
import { decodeMessages, encodeMessages, type Message } from "./message.ts";

/**
 * The head of a batch as its producer encoded it. The broker stores and serves these bytes as they came; the layout is
 * in docs/batch-format.md, byte for byte.
 */
export interface Batch {
  /** The batch whole: head and content. */
  readonly bytes: Uint8Array;
  /** How many messages it holds, 1 to `messagesPerBatchMax`. */
  readonly count: number;
  readonly compressed: boolean;
  /** 16 bytes that name the batch; its messages' ids are made from it. */
  readonly id: Uint8Array;
  /** The same as a string that is equal where the ids are, for maps; one character a byte. */
  readonly idKey: string;
  /** When the producer first tried to send it, in broker time (ms). 0: it does not ask to be landed once. */
  readonly firstAttemptAt: number;
  /** When its first message was born, by the producer's clock (ms). */
  readonly bornAt: number;
  /** CRC32C of everything behind the checksum, so equal in two batches only if their content is. */
  readonly checksum: number;
  /** Set where the batch lies in a blob: `bytes` is its head alone. */
  readonly large?: LargeBatchPlace;
}

/** Where in the blobs a batch lies that is too large for a row. */
export interface LargeBatchPlace {
  /** The last day on which its object is there, in days since the epoch. */
  readonly day: number;
  /** 16 bytes that name the object. */
  readonly object: Uint8Array;
  readonly start: number;
  readonly length: number;
}

export const batchHeadBytes = 42;
export const batchIdBytes = 16;
/** Where the checksum stands, and from where on it covers everything to the end of the batch. */
export const batchChecksumAt = 2;
export const batchChecksummedFrom = 6;

const magic = 0x54; // "T"
const formatVersion = 1;
const gzipFlag = 1;
const at = {
  magic: 0,
  version: 1,
  checksum: batchChecksumAt,
  flags: batchChecksummedFrom,
  contentBytes: 8,
  count: 12,
  firstAttemptAt: 14,
  bornAt: 20,
  id: 26,
} as const;

/** Encodes messages into an uncompressed batch. Deterministic: equal input gives equal bytes. */
export function encodeBatch(batch: {
  readonly id: Uint8Array;
  readonly firstAttemptAt: number;
  readonly bornAt: number;
  readonly messages: readonly Message[];
}): Uint8Array {
  const content = encodeMessages(batch.messages, batch.bornAt);
  const bytes = concatBytes([new Uint8Array(batchHeadBytes), content]);
  putHead(bytes, { ...batch, count: batch.messages.length, compressed: false });
  return bytes;
}

/** Makes a batch of content that was encoded before: writes its head into the bytes that are left free in front of it. */
export function putHead(
  bytes: Uint8Array,
  batch: {
    readonly id: Uint8Array;
    readonly firstAttemptAt: number;
    readonly bornAt: number;
    readonly count: number;
    /** The content is gzip. */
    readonly compressed: boolean;
  },
): void {
  const head = bytes.subarray(0, batchHeadBytes);
  head[at.magic] = magic;
  head[at.version] = formatVersion;
  writeU16(head, at.flags, batch.compressed ? gzipFlag : 0);
  writeU32(head, at.contentBytes, bytes.length - batchHeadBytes);
  writeU16(head, at.count, batch.count);
  writeU48(head, at.firstAttemptAt, batch.firstAttemptAt);
  writeU48(head, at.bornAt, batch.bornAt);
  head.set(batch.id, at.id);
  writeU32(bytes, at.checksum, checksumOf(bytes, 0, bytes.length));
}

/**
 * Reads the batch that begins at `start`; it may be followed by others. Verifies the head and the checksum, not the
 * content: that is for whoever needs the messages. Throws {@link BatchFormatError}.
 */
export function readBatch(bytes: Uint8Array, start = 0): Batch {
  const left = bytes.length - start;
  if (left < batchHeadBytes)
    throw new BatchFormatError("batch", `${left} bytes`, `at least ${batchHeadBytes} bytes`);
  expectByte(bytes, start + at.magic, "batch.magic", magic);
  expectByte(bytes, start + at.version, "batch.version", formatVersion);
  const flags = readU16(bytes, start + at.flags);
  if (flags > gzipFlag) throw new BatchFormatError("batch.flags", flags, "0, or 1 for gzip");
  const contentBytes = readU32(bytes, start + at.contentBytes);
  if (contentBytes > left - batchHeadBytes) {
    throw new BatchFormatError(
      "batch.contentBytes",
      contentBytes,
      `the ${left - batchHeadBytes} bytes that follow the head`,
    );
  }
  const end = start + batchHeadBytes + contentBytes;
  const checksum = readU32(bytes, start + at.checksum);
  const expected = checksumOf(bytes, start, end);
  if (checksum !== expected)
    throw new BatchFormatError("batch.checksum", checksum, `the CRC32C of its bytes, ${expected}`);
  const count = readU16(bytes, start + at.count);
  if (count < 1 || count > limits.messagesPerBatchMax) {
    throw new BatchFormatError("batch.count", count, `1 to ${limits.messagesPerBatchMax}`);
  }
  return headOf(bytes.subarray(start, end));
}

/** What the head of a verified batch says. */
export function headOf(bytes: Uint8Array): Batch {
  const id = bytes.subarray(at.id, at.id + batchIdBytes);
  return {
    bytes,
    count: readU16(bytes, at.count),
    compressed: readU16(bytes, at.flags) === gzipFlag,
    id,
    idKey: String.fromCharCode(...id),
    firstAttemptAt: readU48(bytes, at.firstAttemptAt),
    bornAt: readU48(bytes, at.bornAt),
    checksum: readU32(bytes, at.checksum),
  };
}

/** The messages of a batch. Throws {@link BatchFormatError} where the content is not what the head says. */
export async function decodeBatch(batch: Batch, compression: Compression): Promise<Message[]> {
  return decodeMessages(await contentOf(batch, compression), batch.count, batch.bornAt);
}

async function contentOf(batch: Batch, compression: Compression): Promise<Uint8Array> {
  const stored = batch.bytes.subarray(batchHeadBytes);
  if (!batch.compressed) return stored;
  try {
    return await compression.gunzip(stored, limits.contentBytesMax);
  } catch (cause) {
    const allowed = `gzip of at most ${limits.contentBytesMax} bytes`;
    // biome-ignore lint/style/useErrorCause: it is passed, in the fourth place
    throw new BatchFormatError("batch.content", "bytes", allowed, { cause });
  }
}

/** The id of a batch's message that brought none of its own: batch, queue and index, 40 hexadecimal digits. */
export function derivedMessageId(batchId: Uint8Array, queue: number, index: number): string {
  const place = new Uint8Array(4);
  writeU16(place, 0, queue);
  writeU16(place, 2, index);
  return hex(batchId) + hex(place);
}

function checksumOf(bytes: Uint8Array, start: number, end: number): number {
  return crc32c(bytes, start + batchChecksummedFrom, end);
}

function expectByte(bytes: Uint8Array, place: number, field: string, wanted: number): void {
  const given = bytes[place];
  if (given !== wanted) throw new BatchFormatError(field, given, `${wanted}`);
}
