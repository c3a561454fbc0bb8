import { crc32c } from "../../broker/crc32c.ts";
import { Damaged } from "../../broker/ports/failures.ts";
import { type Item, type Key, valueBytes, type Write } from "../../broker/ports/store.ts";

/**
 * How the store lies in LMDB. The format is persisted: a change needs a new format number.
 *
 * Key: the partition's length (1 byte), the partition, the sort key. The length keeps a partition
 * apart from those that begin with its name.
 *
 * Value: format (1 byte), flags (1 byte), length of the version (1 byte), the CRC32C of the key
 * (4 bytes), the version in ASCII, the expiry in ms since the epoch (8 bytes, big-endian), the item's
 * value. LMDB has no checksums: this one shows an item that lies under a key that is not its own. Values
 * bring their own.
 */
const format = 1;
const flagExpires = 1;
const headBytes = 7;
const fixedHeaderBytes = headBytes + 8;

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

type Put = Extract<Write, { kind: "put" }>;

/** The item's bytes, in memory that `allocate` gives: all of it is written. */
export function encodeItem(
  key: Uint8Array,
  { version, expiresAt, value }: Put,
  allocate: (length: number) => Buffer,
): Buffer {
  const bytes = allocate(fixedHeaderBytes + version.length + valueBytes(value));
  bytes[0] = format;
  bytes[1] = expiresAt === undefined ? 0 : flagExpires;
  bytes[2] = version.length;
  bytes.writeUInt32BE(crc32c(key), 3);
  for (let i = 0; i < version.length; i++) bytes[headBytes + i] = version.charCodeAt(i);
  bytes.writeBigUInt64BE(BigInt(expiresAt ?? 0), headBytes + version.length);
  let at = fixedHeaderBytes + version.length;
  for (const each of value instanceof Uint8Array ? [value] : value) {
    bytes.set(each, at);
    at += each.length;
  }
  return bytes;
}

/** The item shares the memory of `bytes` and of `key`. */
export function decodeItem(key: Uint8Array, bytes: Uint8Array): Item {
  const [storedFormat, flags = 0, versionChars = 0] = bytes;
  const valueStart = fixedHeaderBytes + versionChars;
  const wellFormed = flags <= flagExpires && versionChars > 0 && bytes.length >= valueStart;
  if (storedFormat !== format || !wellFormed) throw new Damaged("store item");
  const view = new DataView(bytes.buffer, bytes.byteOffset, valueStart);
  if (view.getUint32(3) !== crc32c(key)) throw new Damaged("store key");
  const item = {
    key: decodeKey(key),
    value: part(bytes, valueStart),
    version: String.fromCharCode(...part(bytes, headBytes, headBytes + versionChars)),
  };
  if ((flags & flagExpires) === 0) return item;
  return { ...item, expiresAt: Number(view.getBigUint64(headBytes + versionChars)) };
}

/**
 * When an item expires, by its head alone. `undefined`: never, or the head is damaged, which is for those to say who
 * read the item.
 */
export function storedExpiry(key: Uint8Array, bytes: Uint8Array): number | undefined {
  const [storedFormat, flags = 0, versionChars = 0] = bytes;
  const valueStart = fixedHeaderBytes + versionChars;
  if (storedFormat !== format || flags !== flagExpires || bytes.length < valueStart) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, valueStart);
  if (view.getUint32(3) !== crc32c(key)) return;
  return Number(view.getBigUint64(headBytes + versionChars));
}

/** A plain array, also of a Buffer: a Buffer's `slice` does not copy, which nobody expects here. */
function part(bytes: Uint8Array, start: number, end = bytes.length): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start);
}
