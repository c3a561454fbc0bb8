import { expect, test } from "vitest";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { Broker } from "../../src/broker/broker.ts";
import { utf8 } from "../../src/broker/bytes.ts";
import { Unavailable } from "../../src/broker/ports/failures.ts";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { memoryPorts } from "../support/memory-ports.ts";

/**
 * Found by the simulator (seed 217 of 2,000 steps): a machine slept between a look at the directory and one at the rows.
 * They had expired when it woke, and a reader was told that the queue ends where its segment had begun.
 */
test("a reader who sleeps until rows expire is not told an end that lies before them", async () => {
  const clock = new ManualClock();
  const broker = new Broker(memoryPorts(clock));
  const io = broker.ports;
  const retentionMs = 60_000;
  const { topic } = await broker.topics.ensure(io, "payments", { queues: 1, retentionMs });
  const queue = { topicId: topic.id, queue: 0 };
  await sendMessages(io, broker, { topic: "payments", messages: [{ body: utf8("x") }] });

  const { store } = io;
  const scan = store.scan.bind(store);
  store.scan = async (range) => {
    if (String.fromCharCode(range.partition[0] ?? 0) === "B") {
      store.scan = scan;
      await clock.advance(5 * 3_600_000);
    }
    return scan(range);
  };
  const reader = new Broker(io);
  await expect(reader.log.range(io, queue)).rejects.toThrow(Unavailable);
  await broker.sweep(io);
  const { min, max } = await reader.log.range(io, queue);
  expect(max).toBeGreaterThanOrEqual(1);
  expect(min).toBe(max);
});
