import { expect, test } from "vitest";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { Broker } from "../../src/broker/broker.ts";
import { utf8 } from "../../src/broker/bytes.ts";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { memoryPorts } from "../support/memory-ports.ts";

/**
 * Found by the simulator (seed 19 of 2,000 steps): segments so small that one was sealed between each two looks of a
 * reader, five times in a row. He was told of damage. Who looks for a time was told so for longer.
 */
test("a reader who always meets a seal where he looks for the end goes on looking", async () => {
  const clock = new ManualClock();
  const ports = memoryPorts(clock);
  const [reader, writer] = [new Broker(ports), new Broker(ports)];
  const { topic } = await writer.topics.ensure(ports, "orders", { queues: 1 });
  const queue = { topicId: topic.id, queue: 0 };
  const send = () =>
    sendMessages(ports, writer, { topic: "orders", messages: [{ body: utf8("x") }] });
  await send();

  const { store } = ports;
  let seals = 0;
  const overtaken = {
    ...ports,
    store: {
      get: store.get.bind(store),
      commit: store.commit.bind(store),
      scan: async (range: Parameters<typeof store.scan>[0]) => {
        if (String.fromCharCode(range.partition[0] ?? 0) === "B" && seals < 10) {
          seals++;
          await writer.log.seal(ports, queue);
          await send();
        }
        return store.scan(range);
      },
    },
  };
  expect(await reader.log.range(overtaken, queue)).toEqual({ min: 0, max: 11 });

  seals = 0;
  expect(await reader.log.offsetAt(overtaken, queue, clock.now() + 1)).toBe(21);
});
