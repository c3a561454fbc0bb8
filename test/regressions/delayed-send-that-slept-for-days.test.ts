import { expect, test } from "vitest";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { segmentedWorld } from "../support/segmented-world.ts";

const day = 24 * 60 * 60_000;

/**
 * Found by the simulator (seed 70207 of 2,000 steps). An attempt to send delayed messages was held up for days behind its
 * last look at the clock. Another attempt had been delivered, and what told of that had expired: all came again.
 */
test("a delayed message does not come again by an attempt of its send that slept for days", async () => {
  const { io, clock, store, queue, newBroker } = await segmentedWorld();
  const send = {
    topic: "orders",
    messages: [{ body: Uint8Array.of(1), delayMs: 1_000 }],
    batchId: io.random.bytes(16),
    firstAttemptAt: clock.now(),
  };
  const slow = newBroker();
  // The attempt sleeps while it reads its topic.
  const get = store.get.bind(store);
  let wake = () => {};
  const awake = new Promise<void>((resolve) => {
    wake = resolve;
  });
  store.get = async (keys) => {
    const items = await get(keys);
    await awake;
    return items;
  };
  const asleep = sendMessages(io, slow, send);
  store.get = get;

  const broker = newBroker();
  await sendMessages(io, broker, send);
  clock.pass(2_000);
  await broker.sweep(io);
  clock.pass(day + 1_000);
  await broker.sweep(io);
  wake();
  expect(await asleep).toMatchObject([{ error: { code: "unavailable" } }]);
  await broker.sweep(io);
  expect(await newBroker().log.range(io, queue)).toMatchObject({ max: 1 });
});
