import { expect, test } from "vitest";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { Broker } from "../../src/broker/broker.ts";
import { readEntries } from "../../src/broker/log/segment-directory.ts";
import { keys } from "../../src/broker/schema.ts";
import { memoryPorts } from "../support/memory-ports.ts";

/**
 * Found by the simulator (seed 788 of 2,000 steps): of two sweeps that removed a deleted topic, one met a queue's last
 * directory entry just as the other deleted it, and took that for the end of all queues. The others stayed for ever.
 */
test("two sweeps at once leave nothing of a deleted topic", async () => {
  const clock = new ManualClock();
  const broker = new Broker(memoryPorts(clock));
  const io = broker.ports;
  const { topic } = await broker.topics.ensure(io, "passing", { queues: 2 });
  await broker.deleteTopic(io, "passing", { force: true });
  await clock.advance(10 * 60_000);

  // The other sweep deletes the entry of queue 0 between the two looks of this one.
  const { store } = io;
  const scan = store.scan.bind(store);
  store.scan = async (range) => {
    const page = await scan(range);
    if (String.fromCharCode(range.partition[0] ?? 0) === "B") {
      store.scan = scan;
      const key = keys.segment({ topicId: topic.id, queue: 0 }, 0);
      await store.commit([{ kind: "delete", key }], clock.now());
    }
    return page;
  };
  await broker.sweep(io);
  for (const queue of [0, 1])
    expect(await readEntries(io, { topicId: topic.id, queue }, { limit: 10 })).toEqual([]);
});
