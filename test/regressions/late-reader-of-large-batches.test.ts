import { expect, test } from "vitest";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { segmentedWorld, smallSegments } from "../support/segmented-world.ts";

const hour = 60 * 60_000;

/**
 * Found by the simulator (seed 1158 of 2,000 steps): after days without a sweep a segment was trimmed and the objects of
 * its large batches were deleted within a second. A broker that had looked at the queue just before told that they are
 * damaged.
 */
test("a reader of large batches that have just been trimmed is told where the queue begins now", async () => {
  const settings = { ...smallSegments, inlineBatchBytesMax: 100, cacheBytesMax: 1_000_000 };
  const { io, clock, queue, newBroker } = await segmentedWorld({ settings, retentionMs: hour });
  const messages = [{ body: new Uint8Array(1_000) }];
  await sendMessages(io, newBroker(), { topic: "orders", messages });
  await newBroker().log.seal(io, queue);
  await newBroker().sweep(io);
  clock.pass(5 * 24 * hour);

  const late = newBroker().log;
  const atOnce = { messagesMax: 1, bytesMax: 1, waitMs: 0 };
  expect((await late.read(io, queue, 0, atOnce)).rows).toHaveLength(1);
  await newBroker().sweep(io);
  await expect(late.read(io, queue, 0, atOnce)).rejects.toMatchObject({ code: "out_of_range" });
});
