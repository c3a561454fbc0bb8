import { expect, test } from "vitest";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { Broker } from "../../src/broker/broker.ts";
import { utf8 } from "../../src/broker/bytes.ts";
import { keys } from "../../src/broker/schema.ts";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { memoryPorts } from "../support/memory-ports.ts";

/**
 * Found by the simulator (seed 328 of 2,000 steps): the removal of a deleted topic had come as far as an archived
 * segment. Whoever was late and asked for what had been behind it was told that the archive is damaged.
 */
test("a reader who is late for a deleted topic with archived segments is told that it is gone", async () => {
  const clock = new ManualClock();
  const broker = new Broker(memoryPorts(clock), { archiveBytesMin: 0 });
  const io = broker.ports;
  const { topic } = await broker.topics.ensure(io, "passing", { queues: 1 });
  const queue = { topicId: topic.id, queue: 0 };
  await sendMessages(io, broker, { topic: "passing", messages: [{ body: utf8("x") }] });
  await broker.log.seal(io, queue);
  await broker.sweep(io);
  await broker.deleteTopic(io, "passing", { force: true });
  // As far as a sweep comes that is cut off.
  await io.store.commit([{ kind: "delete", key: keys.segment(queue, 1) }], clock.now());

  const late = new Broker(io).log;
  const atOnce = { messagesMax: 1, bytesMax: 1, waitMs: 0 };
  await expect(late.read(io, queue, 1, atOnce)).rejects.toMatchObject({ code: "queue_not_found" });
  await expect(late.range(io, queue)).rejects.toMatchObject({ code: "queue_not_found" });
});
