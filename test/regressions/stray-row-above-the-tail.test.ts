import { expect, test } from "vitest";
import { readBatch } from "../../src/broker/log/batch.ts";
import { encodeBatchRow } from "../../src/broker/log/batch-row.ts";
import { Log } from "../../src/broker/log/log.ts";
import { offsetKey, partitions } from "../../src/broker/schema.ts";
import { batchOf } from "../support/batches.ts";
import { refusalOf } from "../support/code-of.ts";
import { HookedStore } from "../support/hooked-store.ts";
import { memoryPorts } from "../support/memory-ports.ts";
import { makeQueue } from "../support/queues.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

/**
 * Found by the simulator (seed 827 of 2,000 steps): a put that was held up for hours landed among the rows of a deleted
 * topic while they were removed. Whoever appended two rows there was refused by the second one, and took that for a bug.
 */
test("a row that lies above a vacant tail is a broken chain, and no bug of the broker", async () => {
  const plain = memoryPorts(new VirtualClock());
  const io = { ...plain, store: new HookedStore(plain.store) };
  const queue = await makeQueue(io);
  const log = new Log({ inlineBatchBytesMax: 100_000 });
  const batch = (bytes: number) => readBatch(batchOf([{ body: new Uint8Array(bytes) }]));
  await log.append(io, queue, batch(1));
  const stray = {
    key: { partition: partitions.batches(queue, { base: 0, part: 0 }), sort: offsetKey(3) },
    value: encodeBatchRow({ storedAt: io.clock.now(), index: 3, segmentBytes: 0 }, [batch(1)]),
  };
  await io.store.commit([{ kind: "put", version: "stray", ...stray }], io.clock.now() + 1);
  const group = [50_000, 50_000, 50_000].map((bytes) => log.append(io, queue, batch(bytes)));
  for (const refused of await Promise.all(group.map(refusalOf)))
    expect(refused).toMatchObject({ code: "outcome_unknown" });
});
