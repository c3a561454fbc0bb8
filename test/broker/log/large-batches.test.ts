import { describe, expect, it } from "vitest";
import { Broker } from "../../../src/broker/broker.ts";
import { limits } from "../../../src/broker/limits.ts";
import { type Batch, decodeBatch, readBatch } from "../../../src/broker/log/batch.ts";
import { placedBatches } from "../../../src/broker/log/batch-row.ts";
import { Damaged, Unavailable } from "../../../src/broker/ports/failures.ts";
import type { Ports } from "../../../src/broker/ports/ports.ts";
import type { QueueId } from "../../../src/broker/schema.ts";
import { sendMessages } from "../../../src/broker/sending/send-messages.ts";
import { batchOf } from "../../support/batches.ts";
import { memoryPorts } from "../../support/memory-ports.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const all = { messagesMax: 100, bytesMax: 100_000_000, waitMs: 0 };
const day = 24 * 60 * 60_000;

describe("batches that are too large for a row", () => {
  it("lie in one blob for all queues of a request, and are read back as they were sent", async () => {
    const { io, broker, queues } = await world();
    const messages = queues.map(({ queue }) => ({ body: bodyOf(100_000 + queue, queue), queue }));
    const small = { body: bodyOf(10, 9), queue: 0 };
    await sendMessages(io, broker, { topic: "orders", messages: [...messages, small] });
    await sendMessages(io, broker, { topic: "orders", messages: [small] });
    expect(await blobsOf(io)).toHaveLength(1);
    for (const id of queues) {
      const [first, ...rest] = await bodiesIn(io, new Broker(io), id);
      expect(first).toEqual(bodyOf(100_000 + id.queue, id.queue));
      expect(rest).toEqual(id.queue === 0 ? [small.body, small.body] : []);
    }
  });

  it("leave a small row behind, so that a send costs one put and one write", async () => {
    const { io, queues } = await world();
    const broker = new Broker(io);
    const messages = [{ body: bodyOf(1_000_000, 1), queue: 0 }];
    await sendMessages(io, broker, { topic: "orders", messages });
    const [row] = (await broker.log.read(io, queues[0] as QueueId, 0, all)).rows;
    expect(row?.segmentBytes).toBeLessThan(200);
  });

  it("are read a few at a time where few bytes are wanted", async () => {
    const { io, broker, queues } = await world();
    for (let number = 0; number < 5; number++) {
      const messages = [{ body: bodyOf(50_000, number), queue: 0 }];
      await sendMessages(io, broker, { topic: "orders", messages });
    }
    const some = { ...all, bytesMax: 60_000 };
    const { rows } = await broker.log.read(io, queues[0] as QueueId, 1, some);
    expect(rows.map(({ base }) => base)).toEqual([1, 2]);
  });

  it("land once, though each attempt puts a blob of its own", async () => {
    const { io, broker, queues } = await world();
    const once = { batchId: io.random.bytes(16), firstAttemptAt: io.clock.now() };
    const messages = [{ body: bodyOf(50_000, 1), queue: 0 }];
    const first = await sendMessages(io, broker, { topic: "orders", messages, ...once });
    const again = await sendMessages(io, new Broker(io), { topic: "orders", messages, ...once });
    expect(again).toEqual(first);
    expect(await bodiesIn(io, broker, queues[0] as QueueId)).toHaveLength(1);
    const other = [{ body: bodyOf(50_000, 2), queue: 0 }];
    const [reused] = await sendMessages(io, broker, { topic: "orders", messages: other, ...once });
    expect(reused).toMatchObject({ error: { code: "idempotency_key_reused" } });
  });

  it("may be many at once, more than one commit has writes", async () => {
    const { io, broker, queues } = await world();
    const sends = Array.from({ length: 250 }, (_, number) =>
      sendMessages(io, broker, {
        topic: "orders",
        messages: [{ body: bodyOf(10_000, number % 200), queue: 0 }],
      }),
    );
    expect((await Promise.all(sends)).flat().filter((result) => "error" in result)).toEqual([]);
    expect(await bodiesIn(io, broker, queues[0] as QueueId)).toHaveLength(250);
  });

  it("are read from an archived segment too", async () => {
    const { io, broker, queues } = await world({ archiveBytesMin: 0 });
    const queue = queues[0] as QueueId;
    await sendMessages(io, broker, {
      topic: "orders",
      messages: [{ body: bodyOf(50_000, 1), queue: 0 }],
    });
    await broker.log.seal(io, queue);
    await broker.sweep(io);
    io.clock.pass(2 * limits.rowLifeMsMin);
    await broker.sweep(io);
    expect(await bodiesIn(io, new Broker(io), queue)).toEqual([bodyOf(50_000, 1)]);
  });

  it("stay as long as any row that points to them, and are deleted by whole days after that", async () => {
    const { io, broker, queues } = await world({ archiveBytesMin: 0 });
    const queue = queues[0] as QueueId;
    // The segment is opened for a topic that keeps its messages longer than the sender of the large batch knows.
    await broker.log.append(io, queue, batchFor(io), { retentionMs: 20 * day });
    await broker.topics.change(io, "orders", { retentionMs: 60_000 });
    await sendMessages(io, broker, {
      topic: "orders",
      messages: [{ body: bodyOf(50_000, 1), queue: 0 }],
    });
    const { min } = await broker.log.range(io, queue);
    for (let hour = 0; hour < 24 * 8; hour++) {
      io.clock.pass(60 * 60_000);
      await broker.sweep(io);
      const now = await broker.log.range(io, queue);
      if (now.min > min) break;
      expect(await bodiesIn(io, new Broker(io), queue)).toHaveLength(2);
    }
    expect(await broker.log.range(io, queue)).toMatchObject({ min: 2, max: 2 });
    io.clock.pass(4 * day);
    await broker.sweep(io);
    expect(await blobsOf(io)).toEqual([]);
  });

  it("are not sent at all where the blob cannot be put, and what came of it goes with its day", async () => {
    const { io, broker, queues } = await world();
    const put = async (...args: Parameters<typeof io.blobs.put>) => {
      await io.blobs.put(...args);
      return "unknown" as const;
    };
    const doubtful = { ...io, blobs: { ...methodsOf(io), put } };
    const messages = [{ body: bodyOf(50_000, 1), queue: 0 }];
    const sending = sendMessages(doubtful, broker, { topic: "orders", messages });
    await expect(sending).rejects.toThrow(Unavailable);
    expect(await bodiesIn(io, broker, queues[0] as QueueId)).toEqual([]);
    expect(await blobsOf(io)).toHaveLength(1);
    for (let days = 0; days < 6; days++) {
      io.clock.pass(day);
      await broker.sweep(io);
    }
    expect(await blobsOf(io)).toEqual([]);
  });

  it("that are gone or damaged are said to be, where they come first", async () => {
    const { io, broker, queues } = await world();
    const queue = queues[0] as QueueId;
    for (const size of [10, 50_000]) {
      const messages = [{ body: bodyOf(size, 1), queue: 0 }];
      await sendMessages(io, broker, { topic: "orders", messages });
    }
    for (const key of await blobsOf(io)) await io.blobs.delete(key);
    expect((await broker.log.read(io, queue, 0, all)).rows).toHaveLength(1);
    await expect(broker.log.read(io, queue, 1, all)).rejects.toThrow(Damaged);
  });
});

async function world(settings: ConstructorParameters<typeof Broker>[1] = {}) {
  const io = memoryPorts(new VirtualClock());
  const broker = new Broker(io, { inlineBatchBytesMax: 9_000, ...settings });
  const { topic } = await broker.topics.ensure(io, "orders", { queues: 3 });
  const queues = [0, 1, 2].map((queue): QueueId => ({ topicId: topic.id, queue }));
  return { io, broker, queues };
}

function bodyOf(length: number, fill: number): Uint8Array {
  return new Uint8Array(length).fill(fill + 1);
}

async function bodiesIn(io: Ports, broker: Broker, queue: QueueId): Promise<Uint8Array[]> {
  const { min, max } = await broker.log.range(io, queue);
  const bodies: Uint8Array[] = [];
  for (let offset = min; offset < max; ) {
    const { rows } = await broker.log.read(io, queue, offset, all);
    for (const { batch } of rows.flatMap(placedBatches)) {
      const messages = await decodeBatch(batch, io.compression);
      bodies.push(...messages.map(({ body }) => Uint8Array.from(body)));
      offset += messages.length;
    }
  }
  return bodies;
}

async function blobsOf(io: Ports): Promise<string[]> {
  const { blobs } = await io.blobs.list("large/", { limit: 1_000 });
  return blobs.map(({ key }) => key);
}

function batchFor(io: Ports): Batch {
  return readBatch(batchOf([{ body: bodyOf(10, 1) }], { id: io.random.bytes(16) }));
}

function methodsOf({ blobs }: Ports): Ports["blobs"] {
  return {
    put: (...args) => blobs.put(...args),
    get: (...args) => blobs.get(...args),
    delete: (...args) => blobs.delete(...args),
    list: (...args) => blobs.list(...args),
  };
}
