import type { MemoryBlobs } from "../../src/adapters/memory/memory-blobs.ts";
import type { MemoryStore } from "../../src/adapters/memory/memory-store.ts";
import { unexpired } from "../../src/adapters/memory/store-rules.ts";
import { readU16, readU32 } from "../../src/broker/bytes.ts";
import { archivedRows, readArchive } from "../../src/broker/log/archive.ts";
import { type BatchRow, placedBatches, readBatchRow } from "../../src/broker/log/batch-row.ts";
import type { Segment } from "../../src/broker/log/segment.ts";
import { decodeRecord } from "../../src/broker/record.ts";
import { archiveKey, largeObjectKey, partitions, queueOffsetOf } from "../../src/broker/schema.ts";
import { describeKey, partitionLetter } from "./describe-key.ts";

/** What the keys of large objects begin with, by the table in src/broker/schema.ts. */
export const largeObjectsPrefix = "large/";

interface Cell {
  readonly store: MemoryStore;
  readonly blobs: MemoryBlobs;
}

export async function largeObjects({ blobs }: Pick<Cell, "blobs">): Promise<string[]> {
  const keys: string[] = [];
  for (let after: string | undefined; ; after = keys.at(-1)) {
    const page = await blobs.list(largeObjectsPrefix, {
      limit: 1_000,
      ...(after === undefined ? {} : { after }),
    });
    keys.push(...page.blobs.map(({ key }) => key));
    if (!page.more) return keys;
  }
}

/** Large batches of segments that can still be read whose objects are gone. */
export async function* missingObjects(cell: Cell, now: number): AsyncGenerator<string> {
  const there = new Set(await largeObjects(cell));
  for (const { key, value } of cell.store.everything()) {
    if (partitionLetter(key) !== "S") continue;
    const segment = decodeRecord<Segment>("segment", value);
    const queue = { topicId: readU32(key.partition, 1), queue: readU16(key.partition, 5) };
    const id = { base: queueOffsetOf(key.sort), part: segment.part };
    const rows =
      segment.state === "archived"
        ? archived(await cell.blobs.get(archiveKey(queue, id)))
        : stored(cell.store, partitions.batches(queue, id), now);
    for (const row of rows) {
      const [
        {
          batch: { large },
        } = { batch: {} },
      ] = row.isLarge ? placedBatches(row) : [];
      if (large !== undefined && !there.has(largeObjectKey(large.day, large.object)))
        yield `the object of the large batch ${row.base} of ${describeKey(key)} is gone`;
    }
  }
}

function archived(blob: Uint8Array | undefined): Iterable<BatchRow> {
  if (blob === undefined) return [];
  return archivedRows(blob.subarray(readArchive(blob).blocks[0]?.[2]));
}

function* stored(store: MemoryStore, partition: Uint8Array, now: number): Generator<BatchRow> {
  for (const item of store.everything()) {
    if (unexpired(item, now) !== undefined && Buffer.compare(item.key.partition, partition) === 0)
      yield readBatchRow(item);
  }
}
