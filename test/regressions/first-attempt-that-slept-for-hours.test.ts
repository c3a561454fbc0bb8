import { expect, test } from "vitest";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { Broker } from "../../src/broker/broker.ts";
import { utf8 } from "../../src/broker/bytes.ts";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { memoryPorts } from "../support/memory-ports.ts";

const hour = 3_600_000;

/**
 * Found by the simulator (seed 67 of 2,000 steps): a broker was stopped for two hours between looking at the time of a
 * first attempt and appending. Its retry had landed elsewhere and had been trimmed by then, so the look back found
 * nothing, and the batch landed a second time.
 */
test("a first attempt that slept until its retry was trimmed does not land again", async () => {
  const clock = new ManualClock();
  const ports = memoryPorts(clock);
  const [sleeper, other] = [new Broker(ports), new Broker(ports)];
  const retentionMs = 60_000;
  const { topic } = await other.topics.ensure(ports, "payments", { queues: 1, retentionMs });
  const queue = { topicId: topic.id, queue: 0 };
  const request = {
    topic: "payments",
    messages: [{ body: utf8("x") }],
    batchId: new Uint8Array(16).fill(7),
    firstAttemptAt: clock.now(),
  };

  const { store } = ports;
  const sleeping = {
    ...ports,
    store: {
      scan: store.scan.bind(store),
      commit: store.commit.bind(store),
      get: async (...args: Parameters<typeof store.get>) => {
        const items = await store.get(...args);
        await sendMessages(ports, other, request);
        await other.log.seal(ports, queue);
        await clock.advance(2 * hour);
        await other.sweep(ports);
        return items;
      },
    },
  };
  const [late] = await sendMessages(sleeping, sleeper, request);
  expect(late).toMatchObject({ error: { code: "outcome_unknown" } });
  expect(await other.log.range(ports, queue)).toEqual({ min: 1, max: 1 });
});
