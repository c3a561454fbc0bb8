import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import { concatBytes, readU16, writeU16 } from "../../broker/bytes.ts";
import { Damaged } from "../../broker/ports/failures.ts";
import { type Item, itemBytes, type Key, type Write } from "../../broker/ports/store.ts";

/**
 * How the store lies in a table. The names are kept in tables, and every byte of them is paid for with every item.
 *
 * | name | type   | content                                                                                  |
 * |------|--------|------------------------------------------------------------------------------------------|
 * | p    | Binary | partition, the table's partition key                                                     |
 * | s    | Binary | sort key, the table's sort key                                                           |
 * | v    | Binary | value; of an item that expires with 2 bytes behind it                                    |
 * | w    | String | version: the id of the write                                                             |
 * | e    | Number | expiry in whole seconds, rounded up, by which DynamoDB removes the item; absent: it stays |
 *
 * DynamoDB knows expiry in seconds only, the port in milliseconds: the 2 bytes behind the value say by how many
 * milliseconds `e` was rounded up. They cannot be compared in a condition; `conditions.ts` says how it gets by.
 */
export type Attributes = Record<string, AttributeValue>;

export const ttlAttribute = "e";
const roundingBytes = 2;

export function encodeKey({ partition, sort }: Key): Attributes {
  return { p: { B: partition }, s: { B: sort } };
}

export type Put = Extract<Write, { kind: "put" }>;

/** Shares the memory of the key, and of the value if it can. */
export function encodeItem({ key, value, version, expiresAt }: Put): Attributes {
  const parts = value instanceof Uint8Array ? [value] : value;
  if (expiresAt === undefined) {
    const stored = value instanceof Uint8Array ? value : concatBytes(parts);
    return { ...encodeKey(key), v: { B: stored }, w: { S: version } };
  }
  const seconds = Math.ceil(expiresAt / 1_000);
  const rounding = new Uint8Array(roundingBytes);
  writeU16(rounding, 0, seconds * 1_000 - expiresAt);
  const stored = concatBytes([...parts, rounding]);
  return { ...encodeKey(key), v: { B: stored }, w: { S: version }, e: { N: `${seconds}` } };
}

/** Also an item that has expired. Throws `Damaged`. */
export function decodeItem({ p, s, v, w, e }: Attributes): Item {
  if (!p?.B || !s?.B || !v?.B || !w?.S) throw new Damaged("store item");
  const key = { partition: plain(p.B), sort: plain(s.B) };
  const stored = plain(v.B);
  if (e === undefined) return { key, value: stored, version: w.S };
  const end = stored.length - roundingBytes;
  const expiresAt = Number(e.N) * 1_000 - readU16(stored, end);
  if (end < 0 || !Number.isSafeInteger(expiresAt)) throw new Damaged("store item");
  return { key, value: stored.subarray(0, end), version: w.S, expiresAt };
}

/** A plain array, also of a Buffer: a Buffer's `slice` does not copy, which nobody expects here. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/**
 * What DynamoDB counts an item with by its published rules: names and values, a Number with a byte for two digits and one
 * more. It differs from `itemBytes` in the expiry, which takes 9 bytes: its name, 6 for ten digits, 2 behind the value.
 */
export function storedBytes(item: Parameters<typeof itemBytes>[0]): number {
  return itemBytes(item) + (item.expiresAt === undefined ? 0 : 1);
}
