import { describe, expect, it } from "vitest";
import { Broker } from "../../../src/broker/broker.ts";
import { readBatch } from "../../../src/broker/log/batch.ts";
import { metered, Usage } from "../../../src/broker/metering.ts";
import type { Ports } from "../../../src/broker/ports/ports.ts";
import type { Topic } from "../../../src/broker/topics/topic.ts";
import { batchOf } from "../../support/batches.ts";
import { refusalOf } from "../../support/code-of.ts";
import { memoryPorts } from "../../support/memory-ports.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

describe("committing offsets", () => {
  it("moves each queue forward and never back, and answers where each is", async () => {
    const { io, broker, topic } = await world();
    expect(await commit(broker, io, topic, { 0: 5, 2: 7 })).toEqual({ 0: 5, 2: 7 });
    expect(await commit(broker, io, topic, { 0: 4, 1: 1, 2: 7 })).toEqual({ 0: 5, 1: 1, 2: 7 });
    const other = new Broker(io);
    expect(await commit(other, io, topic, { 0: 3, 2: 9 })).toEqual({ 0: 5, 2: 9 });
    // What this broker remembers of queue 2 is old by now.
    expect(await commit(broker, io, topic, { 2: 8 })).toEqual({ 2: 9 });
    expect(await broker.groupOffsets.get(io, "billing", topic)).toEqual(
      new Map([
        [0, 5],
        [1, 1],
        [2, 9],
      ]),
    );
    expect(await broker.groupOffsets.get(io, "shipping", topic)).toEqual(new Map());
  });

  it("is one write and no read when this broker wrote the last one", async () => {
    const { io, broker, topic } = await world();
    await commit(broker, io, topic, { 0: 1 });
    for (let next = 2; next < 5; next++) {
      const usage = new Usage();
      await commit(broker, metered(io, usage), topic, { 0: next });
      expect(usage).toMatchObject({ storeRequests: 1, writeUnits: 1, readUnits: 0 });
    }
  });

  it("ends at the highest when many brokers commit at the same time, each seen to move forward", async () => {
    const { io, broker, topic } = await world();
    const highest: number[] = [];
    await Promise.all(
      Array.from({ length: 6 }, async (_, index) => {
        const own = new Broker(io);
        let seen = -1;
        for (let step = 1; step <= 8; step++) {
          const next = step * 10 + index;
          const { 0: now = -1 } = await commit(own, io, topic, { 0: next });
          expect(now).toBeGreaterThanOrEqual(Math.max(seen, next));
          seen = now;
        }
        highest.push(seen);
      }),
    );
    expect(Math.max(...highest)).toBe(85);
    expect(await broker.groupOffsets.get(io, "billing", topic)).toEqual(new Map([[0, 85]]));
  });

  it("is refused for a queue that the topic does not have, and then moves nothing", async () => {
    const { io, broker, topic } = await world();
    expect(await refusalOf(commit(broker, io, topic, { 0: 1, 4: 1 }))).toMatchObject({
      code: "queue_not_found",
      queue: 4,
      allowed: "0 to 3",
    });
    expect(await broker.groupOffsets.get(io, "billing", topic)).toEqual(new Map());
  });
});

describe("the lag of a group", () => {
  it("is what it has not consumed, of every queue, also where it never committed", async () => {
    const { io, broker, topic } = await world();
    for (const queue of [0, 0, 0, 1, 1]) {
      const batch = readBatch(batchOf([{ body: Uint8Array.of(1) }], { id: io.random.bytes(16) }));
      await broker.log.append(io, { topicId: topic.id, queue }, batch);
    }
    await commit(broker, io, topic, { 0: 1, 2: 6 });
    expect(await broker.groupOffsets.lag(io, broker.log, "billing", topic)).toEqual([
      { queue: 0, committed: 1, max: 3, lag: 2, inFlight: 0 },
      { queue: 1, committed: undefined, max: 2, lag: 2, inFlight: 0 },
      { queue: 2, committed: 6, max: 0, lag: 0, inFlight: 0 },
      { queue: 3, committed: undefined, max: 0, lag: 0, inFlight: 0 },
    ]);
  });
});

async function world() {
  const io = memoryPorts(new VirtualClock());
  const broker = new Broker(io);
  const { topic } = await broker.topics.ensure(io, "orders", { queues: 4 });
  return { io, broker, topic };
}

async function commit(
  broker: Broker,
  io: Ports,
  topic: Topic,
  offsets: Record<number, number>,
): Promise<Record<number, number>> {
  const wanted = new Map(Object.entries(offsets).map(([queue, next]) => [Number(queue), next]));
  const after = await broker.groupOffsets.commit(io, { group: "billing", topic, offsets: wanted });
  return Object.fromEntries(after);
}
