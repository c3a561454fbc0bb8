import { readU32, utf8, writeU32 } from "./bytes.ts";
import { crc32c } from "./crc32c.ts";
import { Damaged } from "./ports/failures.ts";

const formatVersion = 1;
const headBytes = 5;

/** How everything but the log itself is stored: a format byte, a CRC32C, JSON. Small, readable, and a flipped byte is noticed. */
export function encodeRecord(record: object): Uint8Array {
  const json = utf8(JSON.stringify(record));
  const value = new Uint8Array(headBytes + json.length);
  value[0] = formatVersion;
  value.set(json, headBytes);
  writeU32(value, 1, crc32c(value, headBytes));
  return value;
}

/** Reads back what {@link encodeRecord} wrote; `kind` names it in the error. Throws `Damaged`. */
export function decodeRecord<T extends object>(kind: string, value: Uint8Array): T {
  // The checksum of nothing is 0, so a value that was cut to its first byte would pass it.
  const whole = value.length > headBytes && value[0] === formatVersion;
  if (!whole || readU32(value, 1) !== crc32c(value, headBytes)) throw new Damaged(kind);
  return JSON.parse(decoder.decode(value.subarray(headBytes))) as T;
}

const decoder = new TextDecoder();
