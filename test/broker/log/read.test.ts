import { describe, expect, it } from "vitest";
import { seededRandom } from "../../../src/adapters/faulty/faults.ts";
import { MemoryStore } from "../../../src/adapters/memory/memory-store.ts";
import { readBatch } from "../../../src/broker/log/batch.ts";
import { placedBatches } from "../../../src/broker/log/batch-row.ts";
import { Log } from "../../../src/broker/log/log.ts";
import { Damaged } from "../../../src/broker/ports/failures.ts";
import { offsetKey, partitions } from "../../../src/broker/schema.ts";
import { batchOf } from "../../support/batches.ts";
import { HookedStore } from "../../support/hooked-store.ts";
import { memoryPorts } from "../../support/memory-ports.ts";
import { makeQueue } from "../../support/queues.ts";
import { othersActed, VirtualClock } from "../../support/virtual-clock.ts";

// Without a cache, so that every read is one of the store.
const settings = { groupBytesMax: 100_000, pollMs: 100, cacheBytesMax: 0 };
const atOnce = { messagesMax: 10, bytesMax: 100_000, waitMs: 0 };

describe("reading a queue", () => {
  it("begins with the row that holds the offset, from every offset, and knows both ends", async () => {
    const { io, queue, end } = await filledQueue();
    const cold = new Log(settings);
    for (let offset = 0; offset < end; offset++) {
      for (const log of [cold, new Log(settings)]) {
        const read = await log.read(io, queue, offset, atOnce);
        expect(read).toMatchObject({ minOffset: 0, maxOffset: end });
        const [first] = read.rows;
        expect(first?.base).toBeLessThanOrEqual(offset);
        expect((first?.base ?? 0) + (first?.count ?? 0)).toBeGreaterThan(offset);
        let next = first?.base ?? 0;
        for (const place of read.rows.flatMap(placedBatches)) {
          expect(place.base).toBe(next);
          expect(place.batch.bornAt).toBe(1 + next);
          next += place.batch.count;
        }
        expect(next).toBeGreaterThanOrEqual(Math.min(end, offset + atOnce.messagesMax));
      }
    }
  });

  it("asks the store at most twice from any offset, and once from a place where a read ended", async () => {
    const { io, queue, end } = await filledQueue();
    const log = new Log(settings);
    await log.read(io, queue, end, atOnce);
    for (let offset = 0; offset <= end; offset++) {
      io.store.reads = 0;
      await log.read(io, queue, offset, atOnce);
      expect(io.store.reads, `from ${offset}`).toBeLessThanOrEqual(2);
    }
    let asked = 0;
    for (let offset = 0; offset < end; asked++) {
      io.store.reads = 0;
      const { rows } = await log.read(io, queue, offset, atOnce);
      offset = rows.reduce((next, row) => next + row.count, rows[0]?.base ?? 0);
      expect(io.store.reads).toBe(1);
    }
    expect(asked).toBeGreaterThan(3);
    io.store.reads = 0;
    const tail = await log.read(io, queue, end, atOnce);
    expect(tail).toEqual({ rows: [], minOffset: 0, maxOffset: end });
    expect(io.store.reads, "at the tail").toBe(1);
  });

  it("is out of range behind the tail, told with both ends, also of an empty queue", async () => {
    const { io, queue, end } = await filledQueue();
    const empty = await makeQueue(io, "empty");
    const log = new Log(settings);
    for (const [id, max] of [
      [queue, end],
      [empty, 0],
    ] as const) {
      expect(await log.range(io, id)).toEqual({ min: 0, max });
      expect(await log.read(io, id, max, atOnce)).toEqual({
        rows: [],
        minOffset: 0,
        maxOffset: max,
      });
      for (const offset of [max + 1, max + 1_000, Number.MAX_SAFE_INTEGER]) {
        await expect(log.read(io, id, offset, atOnce)).rejects.toMatchObject({
          code: "out_of_range",
          details: { min: 0, max, given: offset },
        });
      }
    }
  });

  it("never passes over a row that is missing", async () => {
    const { io, queue, end } = await filledQueue();
    const log = new Log(settings);
    const { rows } = await log.read(io, queue, 0, { ...atOnce, messagesMax: 100 });
    const gone = rows[1];
    const key = {
      partition: partitions.batches(queue, { base: 0, part: 0 }),
      sort: offsetKey(gone?.base ?? 0),
    };
    await io.store.commit([{ kind: "delete", key }], io.clock.now());
    for (const offset of [0, gone?.base ?? 0]) {
      const reading = new Log(settings).read(io, queue, offset, atOnce);
      await expect(reading, `from ${offset}`).rejects.toBeInstanceOf(Damaged);
    }
    const behind = (gone?.base ?? 0) + (gone?.count ?? 0);
    const { maxOffset } = await new Log(settings).read(io, queue, behind, atOnce);
    expect(maxOffset).toBe(end);
  });
});

describe("waiting at the tail", () => {
  const patient = { ...atOnce, waitMs: 20_000 };

  it("is woken at once by an append of this broker", async () => {
    const { io, queue, end } = await filledQueue();
    const log = new Log({ ...settings, pollMs: 20_000 });
    const waiting = log.read(io, queue, end, patient);
    const before = io.clock.now();
    await log.append(io, queue, readBatch(batchOf([{ body: Uint8Array.of(1) }])));
    expect(await waiting).toMatchObject({ rows: [{ base: end }], maxOffset: end + 1 });
    expect(io.clock.now()).toBe(before);
  });

  it("sees what another broker appends within the time between two looks", async () => {
    const { io, queue, end } = await filledQueue();
    const waiting = new Log(settings).read(io, queue, end, patient);
    const before = io.clock.now();
    const other = new Log(settings);
    await other.append(io, queue, readBatch(batchOf([{ body: Uint8Array.of(1) }])));
    expect(await waiting).toMatchObject({ rows: [{ base: end }] });
    expect(io.clock.now() - before).toBeLessThanOrEqual(settings.pollMs);
  });

  it("ends with nothing when the time is over, and at once when the broker shuts down", async () => {
    const { io, queue, end } = await filledQueue();
    const before = io.clock.now();
    const log = new Log(settings);
    expect((await log.read(io, queue, end, patient)).rows).toEqual([]);
    expect(io.clock.now() - before).toBe(patient.waitMs);
    const waiting = log.read(io, queue, end, patient);
    await othersActed();
    log.arrivals.close();
    const closedAt = io.clock.now();
    expect((await waiting).rows).toEqual([]);
    expect((await log.read(io, queue, end, patient)).rows).toEqual([]);
    expect(io.clock.now()).toBe(closedAt);
  });
});

/** 30 rows of 1 to 4 batches of 1 to 3 messages. A batch's first attempt is the offset of its first message, plus 1. */
async function filledQueue(seed = 11) {
  const clock = new VirtualClock();
  const io = { ...memoryPorts(clock), store: new HookedStore(new MemoryStore(clock)) };
  const queue = await makeQueue(io);
  const log = new Log(settings);
  const draw = seededRandom(seed);
  let end = 0;
  for (let row = 0; row < 30; row++) {
    const batches = Array.from({ length: 1 + Math.floor(draw() * 4) }, () => {
      const count = 1 + Math.floor(draw() * 3);
      const id = io.random.bytes(16);
      const messages = Array.from({ length: count }, () => ({ body: Uint8Array.of(1) }));
      const bytes = batchOf(messages, { id, bornAt: 1 + end });
      end += count;
      return readBatch(bytes);
    });
    await Promise.all(batches.map((batch) => log.append(io, queue, batch)));
  }
  return { io, queue, end };
}
