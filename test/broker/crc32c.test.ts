import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { utf8 } from "../../src/broker/bytes.ts";
import { crc32c } from "../../src/broker/crc32c.ts";

describe("crc32c", () => {
  it("gives the check value of the Castagnoli polynomial, and those of RFC 3720", () => {
    expect(crc32c(utf8("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index))).toBe(0x46dd794e);
    expect(crc32c(new Uint8Array(0))).toBe(0);
  });

  it("agrees with the definition bit by bit, on any part of any bytes", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(40),
        fc.nat(40),
        (bytes, skip, drop) => {
          const start = Math.min(skip, bytes.length);
          const end = Math.max(start, bytes.length - drop);
          expect(crc32c(bytes, start, end)).toBe(bitwise(bytes.subarray(start, end)));
        },
      ),
      { numRuns: 500 },
    );
  });
});

function bitwise(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc = (crc ^ byte) >>> 0;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? ((crc >>> 1) ^ 0x82f6_3b78) >>> 0 : crc >>> 1;
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}
