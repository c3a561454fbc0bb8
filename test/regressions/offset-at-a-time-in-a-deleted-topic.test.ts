import { expect, test } from "vitest";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { Broker } from "../../src/broker/broker.ts";
import { utf8 } from "../../src/broker/bytes.ts";
import { Unavailable } from "../../src/broker/ports/failures.ts";
import { keyId } from "../../src/broker/ports/store.ts";
import { keys } from "../../src/broker/schema.ts";
import { search } from "../../src/broker/searching/search.ts";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { memoryPorts } from "../support/memory-ports.ts";

/**
 * Found by the simulator (seed 626 of 2,500 steps): a broker that had stopped for hours looked for a time in a topic
 * whose rows were being removed. The directory led to a sealed segment without rows, each time it was read, and it
 * reported damage. A pull told its reader in the same place that the queue is gone.
 */
test("who looks for a time in a topic that is being removed is told that it is gone, not of damage", async () => {
  const clock = new ManualClock();
  const ports = memoryPorts(clock);
  const [sweeper, late] = [new Broker(ports), new Broker(ports)];
  const { topic } = await sweeper.topics.ensure(ports, "passing", { queues: 1 });
  const queue = { topicId: topic.id, queue: 0 };
  const message = { body: utf8("x"), keys: ["k"] };
  for (let number = 0; number < 3; number++)
    await sendMessages(ports, sweeper, { topic: "passing", messages: [message] });
  await sweeper.log.seal(ports, queue);
  const looked = await late.topics.get(ports, "passing");
  await sweeper.deleteTopic(ports, "passing", { force: true });
  await clock.advance(10 * 60_000);

  // The sweep is cut short between the rows of the first segment and its entry.
  const { store } = ports;
  const commit = store.commit.bind(store);
  store.commit = async (writes, until) => {
    if (writes.some(({ key }) => keyId(key) === keyId(keys.segment(queue, 0))))
      throw new Unavailable("cut short");
    return commit(writes, until);
  };
  await expect(sweeper.sweep(ports)).rejects.toThrow("cut short");

  const gone = { code: "queue_not_found" };
  await expect(late.log.offsetAt(ports, queue, clock.now())).rejects.toMatchObject(gone);
  // It looked the topic up before all this and is on its way still.
  late.topics.get = async () => looked;
  const searched = search(ports, late, { topic: "passing", key: "k", from: 1, limit: 1 });
  await expect(searched).rejects.toMatchObject(gone);
});
