import { expect, test } from "vitest";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { Broker } from "../../src/broker/broker.ts";
import { utf8 } from "../../src/broker/bytes.ts";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { memoryPorts } from "../support/memory-ports.ts";

/**
 * Found by the simulator (seed 430 of 2,000 steps): a broker that stopped for minutes between looking a topic up and
 * reading its queue read twice while the topic's rows were being removed, and reported damage. It reads again now.
 */
test("a reader who is late for a deleted topic is told that it is gone, not of damage", async () => {
  const clock = new ManualClock();
  const broker = new Broker(memoryPorts(clock));
  const io = broker.ports;
  const { topic } = await broker.topics.ensure(io, "passing", { queues: 1 });
  const queue = { topicId: topic.id, queue: 0 };
  for (let number = 0; number < 150; number++) {
    await sendMessages(io, broker, {
      topic: "passing",
      messages: [{ body: utf8("x") }, { body: utf8("y") }],
    });
  }
  await broker.deleteTopic(io, "passing", { force: true });
  await clock.advance(10 * 60_000);

  // The topic's rows go while the reader is between its two looks at them.
  const { store } = io;
  const scan = store.scan.bind(store);
  store.scan = async (range) => {
    const page = await scan(range);
    if (range.partition[0] !== utf8("B")[0]) return page;
    store.scan = scan;
    await broker.sweep(io);
    return page;
  };
  const read = broker.log.read(io, queue, 141, { messagesMax: 4, bytesMax: 1_000, waitMs: 0 });
  await expect(read).rejects.toMatchObject({ code: "queue_not_found" });
});
