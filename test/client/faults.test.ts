import { describe, expect, it } from "vitest";
import { queueOfGroup } from "../../src/broker/topics/queue-choice.ts";
import {
  Admin,
  type Fetch,
  Producer,
  type StoredReceipt,
  TassoError,
} from "../../src/client/index.ts";
import { inProcessBroker } from "../support/api-fetch.ts";
import { faultyFetch } from "../support/faulty-fetch.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const topic = "orders";
const queues = 4;
const shares = { dropped: 0.1, heldBack: 0.05, refused: 0.05 };

describe("sends through a network that loses answers, holds requests back and refuses others", () => {
  it.each([1, 2, 3])("land once and in the order of their message group: seed %i", async (seed) => {
    const world = await newWorld();
    const { fetch, seen, allArrived } = faultyFetch(world.fetch, shares, { ...world, seed });
    const producer = new Producer({ ...world.options, fetch, timeoutMs: 20_000, batchBytes: 400 });
    const receipts = new Map<string, StoredReceipt>();
    const groups = Array.from({ length: 10 }, async (_, group) => {
      for (let number = 0; number < 100; number++) {
        const message = { topic, body: `${group}/${number}`, messageGroup: `g${group}` };
        if (number % 3 === 0) {
          receipts.set(message.body, (await producer.send(message)) as StoredReceipt);
          continue;
        }
        producer.sendAsync(message, (error, receipt) => {
          if (error === undefined) receipts.set(message.body, receipt as StoredReceipt);
          else throw error;
        });
        producer.sendAsync({ topic, body: `free ${group}/${number}` }, (error, receipt) => {
          if (error === undefined)
            receipts.set(`free ${group}/${number}`, receipt as StoredReceipt);
          else throw error;
        });
        await world.clock.sleep(1);
      }
    });
    await Promise.all(groups);
    await producer.close();
    await allArrived();
    const stored = await world.stored();
    expect(stored.map(({ body }) => body).sort()).toEqual([...receipts.keys()].sort());
    expect(stored).toHaveLength(10 * 100 + 10 * 66);
    for (const { body, queue, offset } of stored)
      expect(receipts.get(body), body).toMatchObject({ queue, offset });
    for (let group = 0; group < 10; group++) {
      const own = stored.filter(({ messageGroup }) => messageGroup === `g${group}`);
      const order = Array.from({ length: 100 }, (_, number) => `${group}/${number}`);
      expect(own.map(({ body }) => body)).toEqual(order);
      expect(new Set(own.map(({ queue }) => queue))).toEqual(
        new Set([queueOfGroup(`g${group}`, queues)]),
      );
    }
    expect(Math.min(seen.dropped, seen.heldBack, seen.refused)).toBeGreaterThan(0);
  });

  it("say that their outcome is unknown when their time is over and an answer was lost", async () => {
    const world = await newWorld();
    const { fetch } = faultyFetch(
      world.fetch,
      { dropped: 1, heldBack: 0, refused: 0 },
      { ...world, seed: 1 },
    );
    await using producer = new Producer({ ...world.options, fetch });
    const startedAt = world.clock.now();
    const error = await producer.send({ topic, body: "x" }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TassoError);
    expect(error).toMatchObject({ code: "no_answer", outcomeUnknown: true, retryable: true });
    expect(world.clock.now() - startedAt).toBe(3_000);
    expect(await world.stored()).toHaveLength(1);
  });

  it("say that they surely were not stored where every attempt was refused", async () => {
    const world = await newWorld();
    const refusing: Fetch = (url, init) =>
      init.method === "POST"
        ? Promise.resolve(Response.json({ message: "Too Many Requests" }, { status: 429 }))
        : world.fetch(url, init);
    await using producer = new Producer({ ...world.options, fetch: refusing });
    await expect(producer.send({ topic, body: "x" })).rejects.toMatchObject({
      code: "rate_limited",
      outcomeUnknown: false,
    });
  });

  it("are given up by their signal", async () => {
    const world = await newWorld();
    const silent: Fetch = (url, init) =>
      init.method === "POST" ? new Promise(() => undefined) : world.fetch(url, init);
    const producer = new Producer({ ...world.options, fetch: silent });
    const controller = new AbortController();
    const sending = producer.send({ topic, body: "x" }, { signal: controller.signal });
    await world.clock.sleep(100);
    controller.abort();
    await expect(sending).rejects.toMatchObject({ code: "aborted", outcomeUnknown: true });
  });

  it("begin at the time of the broker though the client's clock is an hour ahead", async () => {
    const world = await newWorld();
    const ahead = {
      now: () => world.clock.now() + 3_600_000,
      sleep: (ms: number, signal?: AbortSignal) => world.clock.sleep(ms, signal),
    };
    await using producer = new Producer({ ...world.options, clock: ahead });
    await producer.send({ topic, body: "x" });
    const delayed = await producer.send({ topic, body: "y", delayMs: 60_000 });
    expect(delayed).toHaveProperty("deliverAt", world.clock.now() + 60_000);
  });

  it("keep the order of a message group when queues are added meanwhile", async () => {
    const world = await newWorld();
    const admin = new Admin(world.options);
    await using producer = new Producer({ ...world.options, batchBytes: 300 });
    let told = 0;
    const send = (from: number, to: number) => {
      for (let number = from; number < to; number++)
        producer.sendAsync(
          { topic, body: `${number}`, messageGroup: `g${number % 20}` },
          (error) => {
            if (error !== undefined) throw error;
            told++;
          },
        );
    };
    send(0, 400);
    await producer.flush();
    await admin.changeTopic(topic, { queues: 8 });
    await world.clock.sleep(6_000);
    send(400, 1_000);
    await producer.flush();
    expect(told).toBe(1_000);
    const stored = await world.stored(8);
    expect(stored).toHaveLength(1_000);
    const second = stored.filter(({ body }) => Number(body) >= 400);
    for (let group = 0; group < 20; group++) {
      const own = second.filter(({ messageGroup }) => messageGroup === `g${group}`);
      const numbers = own.map(({ body }) => Number(body));
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      expect(new Set(own.map(({ queue }) => queue))).toEqual(
        new Set([queueOfGroup(`g${group}`, 8)]),
      );
    }
  });
});

interface Stored {
  readonly body: string;
  readonly queue: number;
  readonly offset: number;
  readonly messageGroup?: string;
}

async function newWorld() {
  const clock = new VirtualClock();
  const { fetch, url } = inProcessBroker(clock);
  const options = { brokers: [url], fetch, clock };
  const admin = new Admin(options);
  await admin.createTopic(topic, { queues });
  return {
    clock,
    fetch,
    options,
    async stored(count = queues): Promise<Stored[]> {
      const all: Stored[] = [];
      for (let queue = 0; queue < count; queue++) {
        const path = `/v1/topics/${topic}/queues/${queue}/messages?offset=0&max=1024`;
        const { messages } = await admin.request<{ messages: Stored[] }>("GET", path);
        all.push(...messages);
      }
      return all;
    },
  };
}
