declare module "siphash" {
  const siphash: {
    /** SipHash-2-4 of a string's UTF-8 bytes, as two 32-bit words. */
    hash(key: Uint32Array, text: string | Uint8Array): { h: number; l: number };
  };
  export = siphash;
}
