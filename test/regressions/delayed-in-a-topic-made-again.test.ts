import { expect, test } from "vitest";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { segmentedWorld } from "../support/segmented-world.ts";

/**
 * Found by reading. A broker remembers a topic for 5 s. One that walked a message of a topic which had just been made
 * again compared its id with that of the deleted one, and dropped it.
 */
test("a delayed message is not dropped by a broker that remembers the topic that was deleted before", async () => {
  const { io, clock, newBroker } = await segmentedWorld();
  const walking = newBroker();
  await walking.topics.get(io, "orders");
  const other = newBroker();
  await other.deleteTopic(io, "orders", { force: true });
  const { topic } = await other.topics.ensure(io, "orders", { queues: 1 });
  const messages = [{ body: Uint8Array.of(1), delayMs: 1_000 }];
  await sendMessages(io, other, { topic: "orders", messages });
  clock.pass(2_000);
  await walking.walker.deliverDue(io);
  const queue = { topicId: topic.id, queue: 0 };
  expect(await newBroker().log.range(io, queue)).toEqual({ min: 0, max: 1 });
});
