import { tracingChannel } from "node:diagnostics_channel";
import { beforeEach, describe, expect, it } from "vitest";
import { SystemClock } from "../../src/adapters/local/system-clock.ts";
import {
  type Fetch,
  Producer,
  type ProducerOptions,
  SimpleConsumer,
  type StoredReceipt,
  TassoError,
} from "../../src/client/index.ts";
import { type InProcessBroker, inProcessBroker } from "../support/api-fetch.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

let clock: VirtualClock;
let server: InProcessBroker;
const topic = "orders";

beforeEach(async () => {
  clock = new VirtualClock();
  server = inProcessBroker(clock);
  await call("PUT", `/v1/topics/${topic}`, { queues: 4 });
});

describe("a producer", () => {
  it("answers where a message landed", async () => {
    await using producer = newProducer();
    const receipt = await producer.send({ topic, body: "hello", tag: "created", keys: ["k1"] });
    expect(receipt).toMatchObject({ topic, offset: 0, broker: server.url });
    const { queue } = receipt as StoredReceipt;
    const stored = await call("GET", `/v1/topics/${topic}/queues/${queue}/messages/0`);
    expect(stored).toMatchObject({
      messageId: receipt.messageId,
      body: "hello",
      tag: "created",
      keys: ["k1"],
    });
  });

  it("sends several together, and tells of each in their order", async () => {
    await using producer = newProducer();
    const receipts = await producer.send([
      { topic, body: "a" },
      { topic, body: "b", messageGroup: "g" },
      { topic, body: "c", delayMs: 60_000 },
      { topic, body: "d", messageId: "mine" },
    ]);
    expect(receipts).toHaveLength(4);
    expect(receipts[2]).toHaveProperty("recallHandle");
    expect(receipts[3]?.messageId).toBe("mine");
    expect((receipts[3] as StoredReceipt).queue).toBe((receipts[0] as StoredReceipt).queue);
  });

  it("refuses what is wrong before it is sent, and names the field", async () => {
    await using producer = newProducer();
    await expect(producer.send({ topic, body: "x", tag: "a|b" })).rejects.toMatchObject({
      code: "invalid",
      details: { field: "message.tag" },
      outcomeUnknown: false,
      retryable: false,
    });
    await expect(producer.send({ topic: "nowhere", body: "x" })).rejects.toMatchObject({
      code: "topic_not_found",
    });
  });

  it("recalls a delayed message", async () => {
    await using producer = newProducer();
    const receipt = await producer.send({ topic, body: "later", delayMs: 60_000 });
    if (!("recallHandle" in receipt)) throw new Error("it should wait");
    await producer.recall(receipt);
    const { delayed } = await call("GET", "/v1/delayed");
    expect(delayed).toEqual([]);
  });

  it("tells each of many asynchronous sends where it landed, in few requests", async () => {
    const requests: string[] = [];
    await using producer = newProducer({
      fetch: (url, init) => {
        requests.push(url);
        return server.fetch(url, init);
      },
    });
    const receipts: StoredReceipt[] = [];
    for (let index = 0; index < 1_000; index++) {
      producer.sendAsync(
        { topic, body: `m${index}`, messageGroup: `g${index % 10}` },
        (error, receipt) => {
          if (error !== undefined) throw error;
          receipts.push(receipt as StoredReceipt);
        },
      );
    }
    await producer.flush();
    expect(new Set(receipts.map(({ queue, offset }) => `${queue}/${offset}`)).size).toBe(1_000);
    expect(requests.length).toBeLessThan(10);
    expect(await bodiesByGroup()).toEqual(
      new Map(
        Array.from({ length: 10 }, (_, group) => [
          `g${group}`,
          Array.from({ length: 100 }, (__, index) => `m${index * 10 + group}`),
        ]),
      ),
    );
  });

  it("says when its buffer is full, drops nothing, and says when there is room", async () => {
    await using producer = newProducer({ bufferBytes: 10_000 });
    let settled = 0;
    let taken = 0;
    while (
      producer.sendAsync({ topic, body: "x".repeat(100) }, (error) => {
        if (error === undefined) settled++;
      })
    )
      taken++;
    expect(taken).toBeGreaterThan(40);
    expect(settled).toBe(0);
    await producer.ready();
    expect(settled).toBeGreaterThan(0);
    await producer.flush();
    expect(settled).toBe(taken + 1);
  });

  it("compresses large batches where it is told to, and they come back whole", async () => {
    const body = "from Innsbruck to Mechelen ".repeat(1_000);
    let bytes = 0;
    const counting: Fetch = async (url, init) => {
      bytes += init.body?.length ?? 0;
      return await server.fetch(url, init);
    };
    // Real time: the virtual one would jump while it compresses.
    server = inProcessBroker(new SystemClock());
    await call("PUT", `/v1/topics/${topic}`, { queues: 4 });
    const brokers = [server.url];
    await using producer = new Producer({ brokers, fetch: counting, compressOverBytes: 1_000 });
    const { queue, offset } = (await producer.send({ topic, body })) as StoredReceipt;
    expect(bytes).toBeLessThan(2_000);
    const stored = await call("GET", `/v1/topics/${topic}/queues/${queue}/messages/${offset}`);
    expect(stored.body).toBe(body);
  });

  it("sends once and asks for nothing where it is told to", async () => {
    await using producer = newProducer();
    producer.sendOneway({ topic, body: "x", messageGroup: "g" });
    await producer.flush();
    expect(await bodiesByGroup()).toEqual(new Map([["g", ["x"]]]));
    expect(() => producer.sendOneway({ topic, body: "" })).toThrow(TassoError);
  });

  it("is seen by whoever traces it", async () => {
    const seen: unknown[] = [];
    const channel = tracingChannel("tasso:send");
    const subscriber = {
      start: (context: object) => void seen.push({ ...context }),
      asyncEnd: () => void seen.push("end"),
      error: () => void seen.push("error"),
      end: () => undefined,
      asyncStart: () => undefined,
    };
    channel.subscribe(subscriber);
    await using producer = newProducer();
    await producer.send({ topic, body: "x" });
    channel.unsubscribe(subscriber);
    await producer.send({ topic, body: "y" });
    expect(seen).toEqual([{ operation: "send", topic, messages: 1 }, "end"]);
  });

  it("takes nothing once it is closed", async () => {
    const producer = newProducer();
    await producer.close();
    await expect(producer.send({ topic, body: "x" })).rejects.toMatchObject({ code: "closed" });
    const error = await new Promise((resolve) => producer.sendAsync({ topic, body: "x" }, resolve));
    expect(error).toBeInstanceOf(TassoError);
  });
});

describe("a simple consumer", () => {
  it("receives, acknowledges, and gives back", async () => {
    await using producer = newProducer();
    await producer.send([
      { topic, body: "a" },
      { topic, body: "b" },
    ]);
    await using consumer = new SimpleConsumer({ ...options(), group: "g" });
    await call("PUT", "/v1/groups/g", { from: "earliest" });
    const messages = await consumer.receive(topic, { waitMs: 1_000 });
    expect(messages.map((message) => message.text())).toEqual(["a", "b"]);
    await consumer.ack(messages.slice(0, 1));
    await consumer.nack(messages.slice(1), { delayMs: 0 });
    const again = await consumer.receive(topic, { waitMs: 1_000 });
    expect(again.map((message) => [message.text(), message.deliveryAttempt])).toEqual([["b", 2]]);
    await consumer.ack(again);
    expect(await consumer.receive(topic)).toEqual([]);
    await expect(consumer.extend(messages, 10_000)).rejects.toMatchObject({
      code: "receipt_stale",
    });
  });
});

function options() {
  return { brokers: [server.url], fetch: server.fetch, clock };
}

function newProducer(more: Partial<ProducerOptions> = {}): Producer {
  return new Producer({ ...options(), ...more });
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
async function call(method: string, path: string, json?: unknown): Promise<any> {
  const { signal } = new AbortController();
  const response = await server.fetch(server.url + path, {
    method,
    headers: json === undefined ? {} : { "content-type": "application/json" },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    signal,
  });
  return response.status === 204 ? undefined : await response.json();
}

async function bodiesByGroup(): Promise<Map<string, string[]>> {
  const bodies = new Map<string, string[]>();
  for (let queue = 0; queue < 4; queue++) {
    const path = `/v1/topics/${topic}/queues/${queue}/messages?offset=0&max=1024`;
    const { messages } = await call("GET", path);
    for (const { messageGroup, body } of messages as { messageGroup: string; body: string }[])
      bodies.set(messageGroup, [...(bodies.get(messageGroup) ?? []), body]);
  }
  return new Map([...bodies].sort());
}
