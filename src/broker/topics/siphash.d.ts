declare module "siphash" {
  /** SipHash-2-4 of a string's UTF-8 bytes, as two 32-bit words. */
  export function hash(key: Uint32Array, text: string | Uint8Array): { h: number; l: number };
}
