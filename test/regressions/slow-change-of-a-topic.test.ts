import { expect, test } from "vitest";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { Broker } from "../../src/broker/broker.ts";
import { memoryPorts } from "../support/memory-ports.ts";

/**
 * Found by the simulator (seed 312 of 2,000 steps): a broker was told after a minute that its change of a topic was
 * done, and remembered the topic as if it had just read it; meanwhile another broker had deleted it and made it anew,
 * and readers were shown the messages of the old one.
 */
test("a topic whose change took long is not remembered as fresh", async () => {
  const clock = new ManualClock();
  const ports = memoryPorts(clock);
  const [slow, other] = [new Broker(ports), new Broker(ports)];
  await other.topics.ensure(ports, "passing", { queues: 1 });

  const { store } = ports;
  const stalling = {
    ...ports,
    store: {
      get: store.get.bind(store),
      scan: store.scan.bind(store),
      commit: async (...args: Parameters<typeof store.commit>) => {
        const result = await store.commit(...args);
        await other.deleteTopic(ports, "passing", { force: true });
        await other.topics.ensure(ports, "passing", { queues: 1 });
        await clock.advance(60_000);
        return result;
      },
    },
  };
  const changed = await slow.topics.change(stalling, "passing", { queues: 2 });
  const seen = await slow.topics.get(ports, "passing");
  expect(seen.id).toBe((await other.topics.get(ports, "passing")).id);
  expect(seen.id).not.toBe(changed.id);
});
