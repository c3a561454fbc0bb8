// A CommonJS module: Node finds nothing but its default export.
import siphash from "siphash";

/** Words of the key bytes 00 to 0f: the hash that RocketMQ's gRPC clients choose a queue with. */
const key = Uint32Array.of(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c);

/** SipHash-2-4 of a text's UTF-8 bytes, in two words of 32 bits. */
export function textHash(text: string): { readonly high: number; readonly low: number } {
  const { h: high, l: low } = siphash.hash(key, text);
  return { high: high >>> 0, low: low >>> 0 };
}
