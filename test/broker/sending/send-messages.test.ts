import { describe, expect, it } from "vitest";
import { Broker } from "../../../src/broker/broker.ts";
import { limits } from "../../../src/broker/limits.ts";
import { metered, Usage } from "../../../src/broker/metering.ts";
import { type SendRequest, sendMessages } from "../../../src/broker/sending/send-messages.ts";
import { refusalOf } from "../../support/code-of.ts";
import { memoryPorts } from "../../support/memory-ports.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const body = Uint8Array.of(1);
const topic = "sixteen-letters_";

describe("what a send costs", () => {
  it("is one write unit and nothing else, warm, for 900 bytes to a topic with 16 characters", async () => {
    const { io, broker } = await world();
    const message = { body: new Uint8Array(900), queue: 0 };
    const cold = new Usage();
    await sendMessages(metered(io, cold), broker, { topic, messages: [message] });
    // The first message of a segment opens it: two writes in one transaction.
    expect(cold).toMatchObject({ writeUnits: 5, readUnits: 2, storeRequests: 4, blobPuts: 0 });
    for (let index = 0; index < 3; index++) {
      const usage = new Usage();
      const request = { topic, messages: [message] };
      await sendMessages(metered(io, usage), broker, request);
      expect(usage).toEqual({
        writeUnits: 1,
        readUnits: 0,
        blobPuts: 0,
        blobGets: 0,
        storeRequests: 1,
      });
    }
  });

  it("is the same with a batch id on a first attempt", async () => {
    const { io, broker } = await world();
    const usage = new Usage();
    for (const counted of [new Usage(), usage]) {
      const request = { batchId: io.random.bytes(16), firstAttemptAt: io.clock.now() };
      const messages = [{ body: new Uint8Array(900), queue: 0 }];
      await sendMessages(metered(io, counted), broker, { topic, messages, ...request });
    }
    expect(usage).toMatchObject({ writeUnits: 1, readUnits: 0, storeRequests: 1 });
  });
});

describe("the time of the first attempt", () => {
  it("may be ten minutes old or half a second ahead, and no more", async () => {
    const { io, broker } = await world();
    const now = io.clock.now();
    const at = (firstAttemptAt: number) => ({ batchId: io.random.bytes(16), firstAttemptAt });
    const send = (extra: Partial<SendRequest>) =>
      sendMessages(io, broker, { topic, messages: [{ body }], ...extra });
    await send(at(now - limits.retryWindowMs));
    await send(at(now + 2 * limits.clockErrorMsMax));
    expect(await refusalOf(send(at(now - limits.retryWindowMs - 1)))).toMatchObject({
      code: "retry_window_passed",
      field: "firstAttemptAt",
    });
    expect(await refusalOf(send(at(now + 2 * limits.clockErrorMsMax + 1)))).toMatchObject({
      code: "clock_skew",
      field: "firstAttemptAt",
    });
    expect(await refusalOf(send({ firstAttemptAt: now }))).toMatchObject({ code: "invalid" });
    expect(await refusalOf(send({ batchId: new Uint8Array(16) }))).toMatchObject({
      code: "invalid",
    });
  });
});

describe("messages of one request", () => {
  it("go to their queues, those of a queue without a gap, and are answered in their order", async () => {
    const { io, broker } = await world();
    const messages = [
      { body, queue: 1 },
      { body, messageGroup: "a" },
      { body, queue: 1 },
      { body, queue: 3, messageId: "mine" },
      { body, messageGroup: "a" },
    ];
    const results = await sendMessages(io, broker, { topic, messages });
    expect(results).toMatchObject([
      { queue: 1, offset: 0 },
      { queue: 2, offset: 0 },
      { queue: 1, offset: 1 },
      { queue: 3, offset: 0, messageId: "mine" },
      { queue: 2, offset: 1 },
    ]);
  });

  it("stand or fall by queue when the store fails for one of them", async () => {
    const { io, broker } = await world();
    const store = {
      ...bound(io.store),
      commit: async (...call: Parameters<typeof io.store.commit>) => {
        const [write] = call[0];
        // The byte of the partition that holds the lower half of the queue's number.
        if (write?.key.partition[6] === 1) throw new Error("the disk is on fire");
        return io.store.commit(...call);
      },
    };
    const messages = [
      { body, queue: 0 },
      { body, queue: 2 },
    ];
    const fine = await sendMessages({ ...io, store }, broker, { topic, messages });
    expect(fine).toMatchObject([{ offset: 0 }, { offset: 0 }]);
    const wrong = [
      { body, queue: 0 },
      { body, queue: 1 },
    ];
    const sending = sendMessages({ ...io, store }, broker, { topic, messages: wrong });
    await expect(sending).rejects.toThrow("on fire");
  });

  it("are answered the same results when the request comes again", async () => {
    const { io, broker } = await world();
    const request = {
      topic,
      messages: [{ body, queue: 1 }, { body, messageGroup: "a" }, { body }],
      batchId: io.random.bytes(16),
      firstAttemptAt: io.clock.now(),
    };
    const first = await sendMessages(io, broker, { ...request });
    io.clock.pass(5_000);
    for (const again of [broker, new Broker(io)]) {
      expect(await sendMessages(io, again, { ...request })).toEqual(first);
    }
  });
});

async function world() {
  const io = memoryPorts(new VirtualClock());
  const broker = new Broker(io);
  await broker.topics.ensure(io, topic, { queues: 4 });
  return { io, broker };
}

function bound(store: Awaited<ReturnType<typeof world>>["io"]["store"]) {
  return { get: store.get.bind(store), scan: store.scan.bind(store) };
}
