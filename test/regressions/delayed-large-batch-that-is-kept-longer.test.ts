import { expect, test } from "vitest";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { segmentedWorld, smallSegments } from "../support/segmented-world.ts";

const hour = 60 * 60_000;
const day = 24 * hour;

/**
 * Found by the simulator (seed 89 of 2,000 steps). The object of a large batch outlives the retention that the topic had
 * when it was sent. No segment could take it once the retention was longer, or when nobody had walked for days: each look
 * at it sealed the queue twenty times, and all that came to this queue was refused as contended.
 */
test.each([
  ["whose topic keeps messages for longer since", 30 * day, hour],
  ["that is delivered two days late", hour, 47 * hour],
])(
  "a large delayed message %s is delivered, and holds up nobody",
  async (_, retentionMs, lateMs) => {
    const settings = { ...smallSegments, inlineBatchBytesMax: 100 };
    const { io, clock, queue, newBroker } = await segmentedWorld({ settings, retentionMs: hour });
    const broker = newBroker();
    const body = new Uint8Array(1_000).fill(7);
    await sendMessages(io, broker, { topic: "orders", messages: [{ body, delayMs: 1_000 }] });
    await broker.topics.change(io, "orders", { retentionMs });
    // To the end of the last day on which the object is needed, and not beyond it.
    clock.pass(day - (clock.now() % day) + lateMs);

    const late = newBroker();
    await late.sweep(io);
    await sendMessages(io, late, { topic: "orders", messages: [{ body: Uint8Array.of(1) }] });
    expect(await late.log.range(io, queue)).toEqual({ min: 0, max: 2 });
    clock.pass(retentionMs - 1);
    const atOnce = { messagesMax: 2, bytesMax: 10_000, waitMs: 0 };
    expect((await newBroker().log.read(io, queue, 0, atOnce)).rows).toHaveLength(2);
  },
);
