import { expect, test } from "vitest";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { segmentedWorld, smallSegments } from "../support/segmented-world.ts";

const hour = 60 * 60_000;

/**
 * Found by the simulator (seed 910246 of 2,000 steps). All slept for days. A sweep that was under way when they fell asleep
 * deleted the large objects of the days that had passed, before what waited in them was delivered.
 */
test("the object of a large delayed message stays until it is delivered, however late that is", async () => {
  const settings = { ...smallSegments, inlineBatchBytesMax: 100 };
  const { io, clock, queue, newBroker } = await segmentedWorld({ settings, retentionMs: hour });
  const messages = [{ body: new Uint8Array(1_000).fill(7), delayMs: 1_000 }];
  await sendMessages(io, newBroker(), { topic: "orders", messages });
  const asleep = newBroker();
  const { deliverDue } = asleep.walker;
  asleep.walker.deliverDue = async (ports) => {
    const nextAt = await deliverDue.call(asleep.walker, ports);
    clock.pass(6 * 24 * hour);
    return nextAt;
  };
  await asleep.sweep(io);
  await newBroker().sweep(io);
  const atOnce = { messagesMax: 1, bytesMax: 10_000, waitMs: 0 };
  expect((await newBroker().log.read(io, queue, 0, atOnce)).rows).toHaveLength(1);
});
