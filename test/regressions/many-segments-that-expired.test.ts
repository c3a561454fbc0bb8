import { expect, test } from "vitest";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { Broker } from "../../src/broker/broker.ts";
import { utf8 } from "../../src/broker/bytes.ts";
import { Unavailable } from "../../src/broker/ports/failures.ts";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { memoryPorts } from "../support/memory-ports.ts";

/**
 * Found by the simulator (seed 139 of 2,000 steps): nobody swept for days. A reader gave up one expired segment with
 * each of his five looks, and was told of damage when there were more.
 */
test("a reader who meets many expired segments waits for a sweep, and is not told of damage", async () => {
  const clock = new ManualClock();
  const broker = new Broker(memoryPorts(clock));
  const io = broker.ports;
  const retentionMs = 60_000;
  const { topic } = await broker.topics.ensure(io, "payments", { queues: 1, retentionMs });
  const queue = { topicId: topic.id, queue: 0 };
  for (let segment = 0; segment < 20; segment++) {
    await sendMessages(io, broker, { topic: "payments", messages: [{ body: utf8("x") }] });
    await broker.log.seal(io, queue);
    await clock.advance(1_000);
  }
  await clock.advance(5 * 3_600_000);

  const read = () => broker.log.read(io, queue, 0, { messagesMax: 1, bytesMax: 1, waitMs: 0 });
  await expect(read()).rejects.toThrow(Unavailable);
  await broker.sweep(io);
  await expect(read()).rejects.toMatchObject({
    code: "out_of_range",
    details: { min: 20, max: 20 },
  });
});
