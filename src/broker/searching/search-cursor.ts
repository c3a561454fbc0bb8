import {
  fromHex,
  hex,
  readU16,
  readU32,
  readU64,
  utf8,
  writeU16,
  writeU32,
  writeU64,
} from "../bytes.ts";
import { crc32c } from "../crc32c.ts";
import { invalid } from "../errors.ts";

/** How far a search got: every queue below this one, and this one up to `offset`. */
export interface SearchPosition {
  readonly queue: number;
  readonly offset: number;
}

const bytesLength = 14;

/** A position as text. `subject` is everything that one search has and others have not. */
export function encodeCursor({ queue, offset }: SearchPosition, subject: string): string {
  const bytes = new Uint8Array(bytesLength);
  writeU16(bytes, 0, queue);
  writeU64(bytes, 2, offset);
  writeU32(bytes, 10, checksumOf(bytes, subject));
  return hex(bytes);
}

/** Throws `invalid` where the text is no cursor of this search: another one would begin in the middle of nowhere. */
export function decodeCursor(cursor: string, subject: string): SearchPosition {
  const bytes = fromHex(cursor);
  const wellFormed = /^[0-9a-f]*$/.test(cursor) && bytes.length === bytesLength;
  if (!wellFormed || readU32(bytes, 10) !== checksumOf(bytes, subject))
    throw invalid("cursor", cursor, "the nextCursor of an answer to the same search");
  return { queue: readU16(bytes, 0), offset: readU64(bytes, 2) };
}

function checksumOf(bytes: Uint8Array, subject: string): number {
  return crc32c(utf8(hex(bytes.subarray(0, 10)) + subject));
}
