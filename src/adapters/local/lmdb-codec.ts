import { Damaged } from "../../broker/ports/failures.ts";
import type { Item, Key } from "../../broker/ports/store.ts";

/**
 * How the store lies in LMDB. The format is persisted: a change needs a new format number.
 *
 * Key: the partition's length (1 byte), the partition, the sort key. The length keeps a partition
 * apart from those that begin with its name.
 *
 * Value: format (1 byte), flags (1 byte), length of the version (1 byte), the version in ASCII,
 * the expiry in ms since the epoch (8 bytes, big-endian), the item's value.
 */
const format = 1;
const flagExpires = 1;
const fixedHeaderBytes = 11;

export function encodeKey(partition: Uint8Array, sort?: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + partition.length + (sort?.length ?? 0));
  bytes[0] = partition.length;
  bytes.set(partition, 1);
  if (sort) bytes.set(sort, 1 + partition.length);
  return bytes;
}

function decodeKey(bytes: Uint8Array): Key {
  const partitionEnd = 1 + (bytes[0] ?? 0);
  return { partition: part(bytes, 1, partitionEnd), sort: part(bytes, partitionEnd) };
}

export function encodeItem({ version, expiresAt, value }: Omit<Item, "key">): Uint8Array {
  const bytes = new Uint8Array(fixedHeaderBytes + version.length + value.length);
  bytes[0] = format;
  bytes[1] = expiresAt === undefined ? 0 : flagExpires;
  bytes[2] = version.length;
  for (let i = 0; i < version.length; i++) bytes[3 + i] = version.charCodeAt(i);
  const view = new DataView(bytes.buffer, 3 + version.length);
  view.setBigUint64(0, BigInt(expiresAt ?? 0));
  bytes.set(value, fixedHeaderBytes + version.length);
  return bytes;
}

/** The item shares the memory of `bytes` and of `key`. */
export function decodeItem(key: Uint8Array, bytes: Uint8Array): Item {
  const [storedFormat, flags = 0, versionChars = 0] = bytes;
  const valueStart = fixedHeaderBytes + versionChars;
  const wellFormed = flags <= flagExpires && versionChars > 0 && bytes.length >= valueStart;
  if (storedFormat !== format || !wellFormed) throw new Damaged("store item");
  const item = {
    key: decodeKey(key),
    value: part(bytes, valueStart),
    version: String.fromCharCode(...part(bytes, 3, 3 + versionChars)),
  };
  if ((flags & flagExpires) === 0) return item;
  const view = new DataView(bytes.buffer, bytes.byteOffset + 3 + versionChars);
  return { ...item, expiresAt: Number(view.getBigUint64(0)) };
}

/** A plain array, also of a Buffer: a Buffer's `slice` does not copy, which nobody expects here. */
function part(bytes: Uint8Array, start: number, end = bytes.length): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
}
