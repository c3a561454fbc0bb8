import { expect, test } from "vitest";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { Broker } from "../../src/broker/broker.ts";
import { utf8 } from "../../src/broker/bytes.ts";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { memoryPorts } from "../support/memory-ports.ts";

/**
 * Found by the simulator (seed 4 of 2,000 steps): the end of a queue that a broker remembers was dated by when the read
 * returned, not by when it was asked, so that after a slow read it told an end that was older than it may be.
 */
test("the end of a queue that was seen by a slow read is as old as the read", async () => {
  const clock = new ManualClock();
  const broker = new Broker(memoryPorts(clock));
  const io = broker.ports;
  const { topic } = await broker.topics.ensure(io, "orders", { queues: 1 });
  const queue = { topicId: topic.id, queue: 0 };
  const send = () => sendMessages(io, broker, { topic: "orders", messages: [{ body: utf8("x") }] });
  for (let number = 0; number < 10; number++) await send();
  await broker.log.read(io, queue, 10, { messagesMax: 4, bytesMax: 100, waitMs: 0 });

  const { store } = io;
  const scan = store.scan.bind(store);
  store.scan = async (range) => {
    const page = await scan(range);
    store.scan = scan;
    await send();
    await clock.advance(60_000);
    return page;
  };
  const slow = await broker.log.read(io, queue, 10, { messagesMax: 4, bytesMax: 100, waitMs: 0 });
  const after = await broker.log.read(io, queue, 0, { messagesMax: 4, bytesMax: 100, waitMs: 0 });
  expect({ slow: slow.maxOffset, after: after.maxOffset }).toEqual({ slow: 10, after: 11 });
});
