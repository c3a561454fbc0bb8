import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  concatBytes,
  fromHex,
  hex,
  readU16,
  readU32,
  readU48,
  readU64,
  writeU16,
  writeU32,
  writeU48,
  writeU64,
} from "../../src/broker/bytes.ts";

const widths = [
  { name: "u16", bytes: 2, max: 2 ** 16 - 1, read: readU16, write: writeU16 },
  { name: "u32", bytes: 4, max: 2 ** 32 - 1, read: readU32, write: writeU32 },
  { name: "u48", bytes: 6, max: 2 ** 48 - 1, read: readU48, write: writeU48 },
  { name: "u64", bytes: 8, max: Number.MAX_SAFE_INTEGER, read: readU64, write: writeU64 },
] as const;

describe.each(widths)("$name", ({ bytes, max, read, write }) => {
  const number = fc.oneof(fc.integer({ min: 0, max }), fc.constantFrom(0, 1, max - 1, max));
  const written = (value: number): Uint8Array => {
    const target = new Uint8Array(bytes + 2).fill(0xaa);
    write(target, 1, value);
    expect([target[0], target.at(-1)]).toEqual([0xaa, 0xaa]);
    return target.subarray(1, 1 + bytes);
  };

  it("is read as it was written, big-endian", () => {
    fc.assert(
      fc.property(number, (value) => {
        expect(read(written(value), 0)).toBe(value);
        expect(hex(written(value))).toBe(value.toString(16).padStart(2 * bytes, "0"));
      }),
    );
  });

  it("sorts as bytes the way the numbers do", () => {
    fc.assert(
      fc.property(number, number, (a, b) => {
        expect(Math.sign(Buffer.compare(written(a), written(b)))).toBe(Math.sign(a - b));
      }),
    );
  });
});

describe("byte arrays", () => {
  it("become hexadecimal digits and come back", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(hex(bytes)).toBe(Buffer.from(bytes).toString("hex"));
        expect(Buffer.from(fromHex(hex(bytes)))).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it("are put together in their order", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), (parts) => {
        expect(hex(concatBytes(parts))).toBe(parts.map(hex).join(""));
      }),
    );
  });
});
