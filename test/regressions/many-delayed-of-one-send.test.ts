import { expect, test } from "vitest";
import { Unavailable } from "../../src/broker/ports/failures.ts";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { segmentedWorld } from "../support/segmented-world.ts";

/**
 * Found by reading, when the simulator was given sends of 50 delayed messages. They are stored in several commits. Where
 * the second could not be made, all were told that nothing was done, and the first ones were delivered.
 */
test("of many delayed messages of one send each is told what became of it", async () => {
  const { io, clock, store, queue, newBroker } = await segmentedWorld();
  const broker = newBroker();
  await broker.topics.get(io, "orders");
  let commits = 0;
  store.beforeCommit = async () => {
    if (++commits > 1) throw new Unavailable("for a while");
  };
  const messages = Array.from({ length: 60 }, () => ({ body: Uint8Array.of(1), delayMs: 1_000 }));
  const results = await sendMessages(io, broker, { topic: "orders", messages });
  store.beforeCommit = undefined;
  const waiting = results.filter((result) => "recallHandle" in result).length;
  expect(waiting).toBeGreaterThan(0);
  expect(waiting).toBeLessThan(60);

  clock.pass(10_000);
  await broker.walker.deliverDue(io);
  expect(await newBroker().log.range(io, queue)).toEqual({ min: 0, max: waiting });
});
