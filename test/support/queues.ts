import {
  isSeal,
  type PlacedBatch,
  placedBatches,
  readBatchRow,
} from "../../src/broker/log/batch-row.ts";
import { readEntries } from "../../src/broker/log/segment-directory.ts";
import type { Ports } from "../../src/broker/ports/ports.ts";
import { offsetKey, partitions, type QueueId } from "../../src/broker/schema.ts";
import { Topics } from "../../src/broker/topics/topics.ts";

/** A topic with one queue. */
export async function makeQueue(io: Ports, name = "orders"): Promise<QueueId> {
  const { topic } = await new Topics().ensure(io, name, { queues: 1 });
  return { topicId: topic.id, queue: 0 };
}

/** All that lies in a queue, read from the store past every reader. Throws where offsets leave a gap. */
export async function everythingIn(io: Ports, queue: QueueId): Promise<PlacedBatch[]> {
  const found: PlacedBatch[] = [];
  let next: number | undefined;
  for (const { base, segment } of await readEntries(io, queue, { limit: 1_000 })) {
    const partition = partitions.batches(queue, { base, part: segment.part });
    let from = offsetKey(0);
    for (let more = true; more; ) {
      const page = await io.store.scan({ partition, from, limit: 1_000 });
      for (const item of page.items) {
        const row = readBatchRow(item);
        if (isSeal(row)) continue;
        if (next !== undefined && row.base !== next) throw new Error(`a gap at ${next}`);
        next = row.base + row.count;
        from = offsetKey(next);
        found.push(...placedBatches(row));
      }
      more = page.more;
    }
  }
  return found;
}
