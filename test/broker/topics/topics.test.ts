import { describe, expect, it } from "vitest";
import { MemoryStore } from "../../../src/adapters/memory/memory-store.ts";
import { Broker } from "../../../src/broker/broker.ts";
import { limits } from "../../../src/broker/limits.ts";
import { readBatch } from "../../../src/broker/log/batch.ts";
import type { Ports } from "../../../src/broker/ports/ports.ts";
import { partitions, type QueueId } from "../../../src/broker/schema.ts";
import { defaultTopicSettings, type Topic } from "../../../src/broker/topics/topic.ts";
import { readWork } from "../../../src/broker/work/work.ts";
import { batchOf } from "../../support/batches.ts";
import { refusalOf } from "../../support/code-of.ts";
import { memoryPorts } from "../../support/memory-ports.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

describe("making a topic", () => {
  it("takes the defaults for what is absent, and changes nothing the second time", async () => {
    const { io, broker } = world();
    const made = await broker.topics.ensure(io, "orders", {});
    expect(made).toMatchObject({
      created: true,
      topic: { name: "orders", ...defaultTopicSettings },
    });
    for (const wanted of [{}, { queues: 8 }, { type: "MIXED" as const, writable: true }]) {
      expect(await broker.topics.ensure(io, "orders", wanted)).toEqual({
        created: false,
        topic: made.topic,
      });
    }
  });

  it("is refused where it exists with other settings, which are told", async () => {
    const { io, broker } = world();
    await broker.topics.ensure(io, "orders", { queues: 2, type: "FIFO" });
    const current = { ...defaultTopicSettings, queues: 2, type: "FIFO" };
    for (const [field, wanted] of [
      ["queues", { queues: 3 }],
      ["type", { type: "MIXED" }],
      ["retentionMs", { queues: 2, retentionMs: 60_000 }],
      ["writable", { writable: false }],
    ] as const) {
      const refusal = await refusalOf(broker.topics.ensure(io, "orders", wanted));
      expect(refusal).toMatchObject({ code: "already_exists", field, current });
    }
  });

  it("gives each topic an id of its own, however many brokers make some at the same time", async () => {
    const { io } = world();
    const names = Array.from({ length: 12 }, (_, index) => `topic-${index % 8}`);
    const made = await Promise.all(
      names.map((name) => new Broker(io).topics.ensure(io, name, { queues: 1 })),
    );
    const ids = new Map(made.map(({ topic }) => [topic.name, topic.id]));
    expect(new Set(ids.values()).size).toBe(8);
    for (const { topic } of made) expect(topic.id).toBe(ids.get(topic.name));
    expect(made.filter(({ created }) => created)).toHaveLength(8);
  });

  it("makes every queue, empty, with the topic", async () => {
    const { io, broker } = world();
    const { topic } = await broker.topics.ensure(io, "orders", {
      queues: limits.queuesPerTopicMax,
    });
    for (const queue of queuesOf(topic)) {
      expect(await broker.log.range(io, queue)).toEqual({ min: 0, max: 0 });
    }
  });
});

describe("changing a topic", () => {
  it("changes what is given and nothing else, and adds queues that are empty", async () => {
    const { io, broker } = world();
    const { topic } = await broker.topics.ensure(io, "orders", { queues: 2 });
    await append(broker, io, { topicId: topic.id, queue: 1 });
    const changed = await broker.topics.change(io, "orders", { queues: 4, writable: false });
    expect(changed).toEqual({ ...topic, queues: 4, writable: false });
    const maxima = await Promise.all(queuesOf(changed).map((queue) => broker.log.range(io, queue)));
    expect(maxima.map(({ max }) => max)).toEqual([0, 1, 0, 0]);
    expect(await broker.topics.get(io, "orders")).toEqual(changed);
  });

  it("never takes queues away, never changes the type, and needs the topic", async () => {
    const { io, broker } = world();
    await broker.topics.ensure(io, "orders", { queues: 4 });
    const { topics } = broker;
    expect(await refusalOf(topics.change(io, "orders", { queues: 3 }))).toMatchObject({
      code: "invalid",
      field: "queues",
    });
    expect(await refusalOf(topics.change(io, "orders", { type: "FIFO" }))).toMatchObject({
      code: "invalid",
      field: "type",
    });
    expect(await refusalOf(topics.change(io, "nothing", {}))).toMatchObject({
      code: "topic_not_found",
    });
  });

  it("keeps both of two changes made at the same time", async () => {
    const { io, broker } = world();
    await broker.topics.ensure(io, "orders", { queues: 2 });
    await Promise.all([
      new Broker(io).topics.change(io, "orders", { queues: 6 }),
      new Broker(io).topics.change(io, "orders", { writable: false }),
    ]);
    const topic = await new Broker(io).topics.get(io, "orders");
    expect(topic).toMatchObject({ queues: 6, writable: false });
  });

  it("is seen by other brokers within the time for which they remember", async () => {
    const { io, broker } = world();
    const other = new Broker(io);
    await broker.topics.ensure(io, "orders", { queues: 2 });
    await other.topics.get(io, "orders");
    await broker.topics.change(io, "orders", { queues: 3 });
    io.clock.pass(limits.topicAgeMsMax);
    expect(await other.topics.get(io, "orders")).toMatchObject({ queues: 3 });
  });
});

describe("listing topics", () => {
  it("gives them in the order of their names, in pages, each once", async () => {
    const { io, broker } = world();
    const names = ["b", "a", "B", "a-1", "a_1", "a1", "0", "Z9", "zz"];
    for (const name of names) await broker.topics.ensure(io, name, { queues: 1 });
    const found: string[] = [];
    let after: string | undefined;
    do {
      const page = await broker.topics.list(io, { after, limit: 2 });
      found.push(...page.topics.map(({ name }) => name));
      after = page.next;
      expect(page.topics.length).toBe(after === undefined ? 1 : 2);
    } while (after !== undefined);
    expect(found).toEqual([...names].sort());
  });
});

describe("deleting a topic", () => {
  it("takes it away at once and, when nobody can append any more, all that lay under its id", async () => {
    const { io, broker, store } = world();
    const { topic } = await broker.topics.ensure(io, "orders", { queues: 3 });
    const { topic: kept } = await broker.topics.ensure(io, "kept", { queues: 1 });
    await append(broker, io, { topicId: kept.id, queue: 0 });
    for (let index = 0; index < 250; index++) {
      await append(broker, io, { topicId: topic.id, queue: index % 2 });
    }
    const offsets = new Map([[0, 5]]);
    await broker.groupOffsets.commit(io, { group: "billing", topic, offsets });
    await broker.deleteTopic(io, "orders", { force: true });
    expect(await refusalOf(broker.topics.get(io, "orders"))).toMatchObject({
      code: "topic_not_found",
    });
    await broker.sweep(io);
    expect(await rowsUnder(store, topic)).toBeGreaterThan(250);
    io.clock.pass(limits.topicAgeMsMax + 2 * limits.appendDeadlineMs);
    await broker.sweep(io);
    expect(await rowsUnder(store, topic)).toBe(0);
    // What is left of it in the list of work are the seals of segments that are gone, and a second look.
    io.clock.pass(25 * 60 * 60_000);
    await broker.sweep(io);
    const { items: work } = await store.scan({ partition: partitions.work, limit: 10 });
    expect(work.map((item) => readWork(item).work)).toMatchObject([
      { kind: "trim", topicId: kept.id },
    ]);
    expect(await broker.log.range(io, { topicId: kept.id, queue: 0 })).toEqual({ min: 0, max: 1 });
  });

  it("rings the alarm for what remains", async () => {
    const { io, broker } = world();
    const set: [string, number][] = [];
    const alarm = { ...io.alarm, set: async (id: string, at: number) => void set.push([id, at]) };
    await broker.topics.ensure(io, "orders", { queues: 1 });
    const dueAt = io.clock.now() + limits.topicAgeMsMax + 2 * limits.appendDeadlineMs;
    await broker.deleteTopic({ ...io, alarm }, "orders", { force: false });
    expect(set).toEqual([[expect.any(String), dueAt]]);
  });

  it("leaves nothing for a topic that is made again under the name", async () => {
    const { io, broker } = world();
    const { topic: first } = await broker.topics.ensure(io, "orders", { queues: 2 });
    await append(broker, io, { topicId: first.id, queue: 0 });
    const offsets = new Map([[0, 1]]);
    await broker.groupOffsets.commit(io, { group: "billing", topic: first, offsets });
    await broker.deleteTopic(io, "orders", { force: false });
    const { topic: second, created } = await broker.topics.ensure(io, "orders", { queues: 2 });
    expect(created).toBe(true);
    expect(second.id).not.toBe(first.id);
    expect(await broker.groupOffsets.get(io, "billing", second)).toEqual(new Map());
    const queue = { topicId: second.id, queue: 0 };
    expect(await broker.log.range(io, queue)).toEqual({ min: 0, max: 0 });
    expect(await append(broker, io, queue)).toMatchObject({ base: 0 });
    io.clock.pass(limits.topicAgeMsMax + 2 * limits.appendDeadlineMs);
    await broker.sweep(io);
    expect(await broker.log.range(io, queue)).toEqual({ min: 0, max: 1 });
  });

  it("is refused while a group lags, unless it is forced", async () => {
    const { io, broker } = world();
    const { topic } = await broker.topics.ensure(io, "orders", { queues: 2 });
    await append(broker, io, { topicId: topic.id, queue: 0 });
    await append(broker, io, { topicId: topic.id, queue: 0 });
    const commit = (next: number) =>
      broker.groupOffsets.commit(io, { group: "billing", topic, offsets: new Map([[0, next]]) });
    await commit(1);
    expect(await refusalOf(broker.deleteTopic(io, "orders", { force: false }))).toMatchObject({
      code: "group_lags",
      group: "billing",
      lag: 1,
    });
    await commit(2);
    await broker.deleteTopic(io, "orders", { force: false });
    expect(await refusalOf(broker.deleteTopic(io, "orders", { force: false }))).toMatchObject({
      code: "topic_not_found",
    });
  });

  it("happens once when two ask for it at the same time", async () => {
    const { io, broker } = world();
    await broker.topics.ensure(io, "orders", { queues: 1 });
    const both = await Promise.allSettled([
      broker.deleteTopic(io, "orders", { force: false }),
      new Broker(io).deleteTopic(io, "orders", { force: false }),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  });
});

function world() {
  const clock = new VirtualClock();
  const store = new MemoryStore(clock);
  const io = memoryPorts(clock, { store });
  return { io, store, broker: new Broker(io) };
}

function append(broker: Broker, io: Ports, queue: QueueId) {
  const id = io.random.bytes(16);
  return broker.log.append(io, queue, readBatch(batchOf([{ body: Uint8Array.of(1) }], { id })));
}

function queuesOf(topic: Topic): QueueId[] {
  return Array.from({ length: topic.queues }, (_, queue) => ({ topicId: topic.id, queue }));
}

async function rowsUnder(store: MemoryStore, topic: Topic): Promise<number> {
  const all = queuesOf(topic).flatMap((queue) => [
    partitions.segments(queue),
    partitions.batches(queue, { base: 0, part: 0 }),
  ]);
  // Of the only group of these tests, which is the first one.
  const consumer = { groupId: 1, topicId: topic.id, member: "" };
  all.push(partitions.consumersOf(topic.id), partitions.queueStates(consumer));
  const pages = await Promise.all(all.map((partition) => store.scan({ partition, limit: 1_000 })));
  return pages.reduce((sum, { items }) => sum + items.length, 0);
}
