import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../../src/broker/bytes.ts";
import { readBatch } from "../../../src/broker/log/batch.ts";
import { encodeBatchRow, placedBatches, readBatchRow } from "../../../src/broker/log/batch-row.ts";
import { Damaged } from "../../../src/broker/ports/failures.ts";
import { offsetKey } from "../../../src/broker/schema.ts";
import { anyEncodedBatch } from "../../support/arbitraries.ts";

const anyRow = fc.record({
  base: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 10_000 }),
  head: fc.record({
    storedAt: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
    index: fc.integer({ min: 0, max: 65_535 }),
    segmentBytes: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  }),
  batches: fc.array(anyEncodedBatch, { maxLength: 4 }),
});

function rowValue(...row: Parameters<typeof encodeBatchRow>): Uint8Array {
  return concatBytes(encodeBatchRow(...row));
}

describe("a row of the log", () => {
  it("gives back its batches, each at the offset of its first message", () => {
    fc.assert(
      fc.property(anyRow, ({ base, head, batches }) => {
        const read = batches.map((bytes) => readBatch(bytes));
        const row = readBatchRow(itemAt(base, rowValue(head, read)));
        const count = read.reduce((sum, batch) => sum + batch.count, 0);
        expect(row).toMatchObject({ base, ...head, count });
        let expected = base;
        const placed = placedBatches(row);
        expect(placed).toHaveLength(batches.length);
        placed.forEach((place, index) => {
          expect(place.base).toBe(expected);
          expect(place.storedAt).toBe(head.storedAt);
          expect(Buffer.from(place.batch.bytes)).toEqual(Buffer.from(batches[index] ?? []));
          expected += place.batch.count;
        });
      }),
    );
  });

  it("is known to be damaged when any single byte is another, or when it is cut short", () => {
    const taken: string[] = [];
    for (const { base, head, batches } of fc.sample(anyRow, { numRuns: 8, seed: 3 })) {
      const value = rowValue(
        head,
        batches.map((bytes) => readBatch(bytes)),
      );
      for (let place = 0; place < value.length; place++) {
        const flipped = Uint8Array.from(value);
        flipped[place] = (value[place] ?? 0) ^ 0x01;
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
