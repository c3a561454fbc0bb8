import { expect, test } from "vitest";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { Broker } from "../../src/broker/broker.ts";
import { utf8 } from "../../src/broker/bytes.ts";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { memoryPorts } from "../support/memory-ports.ts";

const hour = 3_600_000;

/**
 * Found by the simulator (seed 11 of 2,000 steps): nobody swept until the rows of a sealed segment had expired. The
 * archiver came before the trimmer, found no rows, and called that damage.
 */
test("an archiver who comes when the rows have expired leaves the segment to the trimmer", async () => {
  const { io, broker, queue, clock } = await sealedSegment();
  await clock.advance(5 * hour);
  await broker.sweep(io);
  expect(await broker.log.range(io, queue)).toEqual({ min: 1, max: 1 });
});

test("an archiver who slept while another archived the segment and dropped its rows finds that it is done", async () => {
  const { io, broker, queue, clock } = await sealedSegment();
  const sleeper = new Broker(io, settings);
  const { store } = io;
  const sleeping = {
    ...io,
    store: {
      scan: store.scan.bind(store),
      commit: store.commit.bind(store),
      get: async (...args: Parameters<typeof store.get>) => {
        const items = await store.get(...args);
        sleeping.store.get = store.get.bind(store);
        await broker.sweep(io);
        await clock.advance(1.5 * hour);
        await broker.sweep(io);
        return items;
      },
    },
  };
  await sleeper.sweep(sleeping);
  const read = await broker.log.read(io, queue, 0, { messagesMax: 1, bytesMax: 1, waitMs: 0 });
  expect(read.rows).toHaveLength(1);
});

const settings = { archiveBytesMin: 0 };

async function sealedSegment() {
  const clock = new ManualClock();
  const io = memoryPorts(clock);
  const broker = new Broker(io, settings);
  const retentionMs = 3 * hour;
  const { topic } = await broker.topics.ensure(io, "payments", { queues: 1, retentionMs });
  const queue = { topicId: topic.id, queue: 0 };
  await sendMessages(io, broker, { topic: "payments", messages: [{ body: utf8("x") }] });
  await broker.log.seal(io, queue);
  return { io, broker, queue, clock };
}
