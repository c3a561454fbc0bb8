import { describe, expect, it } from "vitest";
import { utf8 } from "../../../src/broker/bytes.ts";
import { readBatch } from "../../../src/broker/log/batch.ts";
import type { BatchRow } from "../../../src/broker/log/batch-row.ts";
import { Log } from "../../../src/broker/log/log.ts";
import { RowCache } from "../../../src/broker/log/row-cache.ts";
import { batchOf } from "../../support/batches.ts";
import { HookedStore } from "../../support/hooked-store.ts";
import { memoryPorts } from "../../support/memory-ports.ts";
import { makeQueue } from "../../support/queues.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const queue = { topicId: 1, queue: 0 };

describe("the cache of rows", () => {
  it("keeps what came last, up to its bytes", () => {
    const cache = new RowCache(10 * 1_024);
    for (let base = 0; base < 5_000; base++) cache.add(queue, rowOf(base, 500));
    const kept = Array.from({ length: 5_000 }, (_, base) => cache.get(queue, base)?.base);
    const found = kept.filter((base) => base !== undefined);
    expect(found).toEqual(Array.from({ length: 10 }, (_, index) => 4_990 + index));
  });

  it("keeps queues apart", () => {
    const cache = new RowCache(10_000);
    cache.add(queue, rowOf(0, 10));
    expect(cache.get({ topicId: 1, queue: 1 }, 0)).toBeUndefined();
    expect(cache.get({ topicId: 2, queue: 0 }, 0)).toBeUndefined();
  });

  it("does not take a row that is larger than all of it", () => {
    const cache = new RowCache(100);
    cache.add(queue, rowOf(0, 101));
    expect(cache.get(queue, 0)).toBeUndefined();
  });
});

describe("reading what was read before", () => {
  it("asks the store for nothing but the end of the queue, once a second", async () => {
    const ports = memoryPorts(new VirtualClock());
    const store = new HookedStore(ports.store);
    const io = { ...ports, store };
    const made = await makeQueue(io);
    const log = new Log();
    for (let number = 0; number < 20; number++) {
      await log.append(io, made, readBatch(batchOf([{ body: utf8(`${number}`) }])));
    }
    const options = { messagesMax: 4, bytesMax: 10_000, waitMs: 0 };
    const first = await log.read(io, made, 3, options);
    store.reads = 0;
    for (let again = 0; again < 10; again++) {
      const { rows, maxOffset } = await log.read(io, made, 3, options);
      expect(rows).toEqual(first.rows.slice(0, 4));
      expect(maxOffset).toBe(20);
    }
    expect(store.reads).toBe(0);
    io.clock.pass(1_500);
    await log.read(io, made, 3, options);
    expect(store.reads).toBe(1);
  });
});

function rowOf(base: number, bytes: number): BatchRow {
  return {
    base,
    count: 1,
    storedAt: 0,
    index: 0,
    segmentBytes: 0,
    isLarge: false,
    batches: new Uint8Array(bytes),
  };
}
