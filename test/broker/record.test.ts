import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Damaged } from "../../src/broker/ports/failures.ts";
import { decodeRecord, encodeRecord } from "../../src/broker/record.ts";

const anyRecord = fc.dictionary(
  fc.string({ unit: "binary" }).filter((name) => name !== "__proto__"),
  fc.oneof(fc.string({ unit: "binary" }), fc.maxSafeInteger(), fc.boolean()),
  { noNullPrototype: true },
);

describe("a record", () => {
  it("is read as it was written", () => {
    fc.assert(
      fc.property(anyRecord, (record) => {
        expect(decodeRecord("sample", encodeRecord(record))).toEqual(record);
      }),
    );
  });

  it("is known to be damaged when any bit of it is another, and says of what kind it is", () => {
    const value = encodeRecord({ name: "orders", queues: 8, type: "MIXED" });
    for (let bit = 0; bit < 8 * value.length; bit++) {
      const flipped = Uint8Array.from(value);
      flipped[bit >> 3] = (value[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => decodeRecord("sample", flipped), `bit ${bit}`).toThrow(Damaged);
      expect(() => decodeRecord("sample", flipped)).toThrow("sample");
    }
  });

  it("is known to be damaged when it is cut short", () => {
    const value = encodeRecord({ name: "orders" });
    for (let length = 0; length < value.length; length++) {
      expect(() => decodeRecord("sample", value.subarray(0, length)), `${length}`).toThrow(Damaged);
    }
  });
});
