// A CommonJS module: Node finds nothing but its default export.
import siphash from "siphash";
import { writeU32 } from "./bytes.ts";

/** Words of the key bytes 00 to 0f: the hash that RocketMQ's gRPC clients choose a queue with. */
const key = Uint32Array.of(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c);

/** Words of the key bytes 10 to 1f, for the other half of what needs 16 bytes. */
const otherKey = Uint32Array.of(0x13121110, 0x17161514, 0x1b1a1918, 0x1f1e1d1c);

/** SipHash-2-4 of a text's UTF-8 bytes, in two words of 32 bits. */
export function textHash(text: string): { readonly high: number; readonly low: number } {
  const { h: high, l: low } = siphash.hash(key, text);
  return { high: high >>> 0, low: low >>> 0 };
}

/** 16 bytes made from a text, the same for everybody. */
export function textId(text: string): Uint8Array {
  const id = new Uint8Array(16);
  [key, otherKey].forEach((half, index) => {
    const { h: high, l: low } = siphash.hash(half, text);
    writeU32(id, 8 * index, high >>> 0);
    writeU32(id, 8 * index + 4, low >>> 0);
  });
  return id;
}
