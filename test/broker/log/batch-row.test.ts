import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readBatch } from "../../../src/broker/log/batch.ts";
import { encodeBatchRow, placedBatches, readBatchRow } from "../../../src/broker/log/batch-row.ts";
import { Damaged } from "../../../src/broker/ports/failures.ts";
import { offsetKey } from "../../../src/broker/schema.ts";
import { anyEncodedBatch } from "../../support/arbitraries.ts";

const anyRow = fc.record({
  base: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 10_000 }),
  storedAt: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  batches: fc.array(anyEncodedBatch, { minLength: 1, maxLength: 4 }),
});
const flagsPlace = 3;
const rowHeadBytes = 15;

describe("a row of the log", () => {
  it("gives back its batches, each at the offset of its first message", () => {
    fc.assert(
      fc.property(anyRow, ({ base, storedAt, batches }) => {
        const read = batches.map((bytes) => readBatch(bytes));
        const row = readBatchRow(itemAt(base, encodeBatchRow(storedAt, read)));
        const count = read.reduce((sum, batch) => sum + batch.count, 0);
        expect(row).toMatchObject({ base, storedAt, count });
        let expected = base;
        const placed = placedBatches(row);
        expect(placed).toHaveLength(batches.length);
        placed.forEach((place, index) => {
          expect(place.base).toBe(expected);
          expect(place.storedAt).toBe(storedAt);
          expect(Buffer.from(place.batch.bytes)).toEqual(Buffer.from(batches[index] ?? []));
          expected += place.batch.count;
        });
      }),
    );
  });

  it("is known to be damaged when any single byte is another, or when it is cut short", () => {
    const taken: string[] = [];
    for (const { base, storedAt, batches } of fc.sample(anyRow, { numRuns: 8, seed: 3 })) {
      const value = encodeBatchRow(
        storedAt,
        batches.map((bytes) => readBatch(bytes)),
      );
      const flags = new Set<number>();
      let start = rowHeadBytes;
      for (const batch of batches) {
        flags.add(start + flagsPlace);
        start += batch.length;
      }
      for (let place = 0; place < value.length; place++) {
        // Whether the content is compressed is found out when it is decoded.
        const change = flags.has(place) ? 0x80 : 0x01;
        const flipped = Uint8Array.from(value);
        flipped[place] = (value[place] ?? 0) ^ change;
        if (!isDamaged(base, flipped)) taken.push(`byte ${place} of ${value.length} changed`);
        if (!isDamaged(base, value.subarray(0, place))) taken.push(`cut to ${place} bytes`);
      }
    }
    expect(taken).toEqual([]);
  });
});

function isDamaged(base: number, value: Uint8Array): boolean {
  try {
    placedBatches(readBatchRow(itemAt(base, value)));
    return false;
  } catch (error) {
    if (error instanceof Damaged) return true;
    throw error;
  }
}

function itemAt(base: number, value: Uint8Array) {
  return { key: { partition: Uint8Array.of(1), sort: offsetKey(base) }, value };
}
