import { beforeEach, describe, expect, it } from "vitest";
import {
  Admin,
  type HandlerContext,
  Producer,
  PullConsumer,
  PushConsumer,
  type PushConsumerOptions,
} from "../../src/client/index.ts";
import { type InProcessBroker, inProcessBroker } from "../support/api-fetch.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const topic = "orders";
const group = "shipping";
let clock: VirtualClock;
let server: InProcessBroker;
let producer: Producer;
let admin: Admin;

beforeEach(async () => {
  clock = new VirtualClock();
  server = inProcessBroker(clock);
  producer = new Producer(options());
  admin = new Admin(options());
  await admin.createTopic(topic, { queues: 4 });
});

describe("a push consumer", () => {
  it("handles every message once where nothing fails, and acknowledges it", async () => {
    await admin.createGroup(group, { from: "earliest" });
    await send(100);
    const seen: string[] = [];
    await using consumer = push({ handler: (message) => void seen.push(message.text()) });
    await consumer.start();
    await until(() => seen.length === 100);
    await consumer.close();
    expect(seen.sort()).toEqual(bodies(100).sort());
    expect((await admin.lag(group, topic)).total).toBe(0);
  });

  it("handles no more at a time than it may", async () => {
    await admin.createGroup(group, { from: "earliest" });
    await send(50);
    let running = 0;
    let most = 0;
    let handled = 0;
    await using consumer = push({
      concurrency: 3,
      async handler() {
        most = Math.max(most, ++running);
        await clock.sleep(10);
        running--;
        handled++;
      },
    });
    await consumer.start();
    await until(() => handled === 50);
    expect(most).toBe(3);
  });

  it("gives back what its handler throws at, and what it says so of; what is dead is a dead letter", async () => {
    await admin.createGroup(group, { from: "earliest", retryMs: [1_000] });
    await send(3);
    const attempts: string[] = [];
    await using consumer = push({
      handler(message, { attempt }) {
        attempts.push(`${message.text()} ${attempt}`);
        if (message.text() === "m0" && attempt < 3) throw new Error("not yet");
        if (message.text() === "m1" && attempt < 2) return { nack: 5_000 };
        return message.text() === "m2" ? { deadLetter: "unreadable" } : undefined;
      },
    });
    await consumer.start();
    await until(() => attempts.length === 6);
    await consumer.close();
    expect(attempts.sort()).toEqual(["m0 1", "m0 2", "m0 3", "m1 1", "m1 2", "m2 1"]);
    await server.broker.walker.deliverDue(server.broker.ports);
    const dead = [];
    for await (const { message, origin } of admin.deadLetters(group))
      dead.push([message.text(), origin.attempts]);
    expect(dead).toEqual([["m2", 1]]);
    expect((await admin.lag(group, topic)).total).toBe(0);
  });

  it("keeps what runs longer than the invisible time, and nobody else is given it", async () => {
    await admin.createGroup(group, { from: "earliest" });
    await send(1);
    const attempts: number[] = [];
    const handler = async (_: unknown, { attempt }: HandlerContext) => {
      attempts.push(attempt);
      await clock.sleep(100_000);
    };
    await using first = push({ handler, invisibleMs: 10_000 });
    await using second = push({ handler, invisibleMs: 10_000 });
    await first.start();
    await second.start();
    await clock.sleep(120_000);
    expect(attempts).toEqual([1]);
    expect((await admin.lag(group, topic)).total).toBe(0);
  });

  it("keeps the order of a message group in an orderly group though handlers fail", async () => {
    await admin.createGroup(group, { from: "earliest", orderly: true, retryMs: [500] });
    for (let index = 0; index < 40; index++)
      await producer.send({ topic, body: `m${index}`, messageGroup: `g${index % 4}` });
    const done = new Map<string, number[]>();
    let failures = 0;
    await using consumer = push({
      handler(message, { attempt }) {
        const number = Number(message.text().slice(1));
        if (number % 5 === 0 && attempt < 3) {
          failures++;
          throw new Error("again");
        }
        const own = done.get(message.messageGroup ?? "") ?? [];
        done.set(message.messageGroup ?? "", [...own, number]);
      },
    });
    await consumer.start();
    await until(() => [...done.values()].flat().length === 40);
    expect(failures).toBe(16);
    for (const [, numbers] of done) expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  });

  it("gives back what nobody has begun with when it is closed, and lets the others end", async () => {
    await admin.createGroup(group, { from: "earliest" });
    await send(10);
    const ended: string[] = [];
    let begun = 0;
    const consumer = push({
      concurrency: 2,
      async handler(message) {
        begun++;
        await clock.sleep(2_000);
        ended.push(message.text());
      },
    });
    await consumer.start();
    await until(() => begun === 2);
    await consumer.close();
    expect(ended).toHaveLength(2);
    const { total, queues } = await admin.lag(group, topic);
    expect(total).toBe(8);
    const now = queues.reduce((sum, { inFlight }) => sum + inFlight, 0);
    expect(now).toBeLessThanOrEqual(8);
    const others: string[] = [];
    await using next = push({ handler: (message) => void others.push(message.text()) });
    await next.start();
    await until(() => others.length === 8);
    expect([...ended, ...others].sort()).toEqual(bodies(10).sort());
  });
});

describe("a pull consumer", () => {
  it("shares a topic with the other members of its group, and commits what it polled", async () => {
    await admin.createGroup(group, { from: "earliest" });
    await send(200);
    const seen: string[] = [];
    await using first = new PullConsumer({ ...options(), group });
    await using second = new PullConsumer({ ...options(), group });
    for (const consumer of [first, second]) consumer.subscribe(topic);
    for (let turn = 0; turn < 100 && seen.length < 200; turn++) {
      for (const consumer of [first, second])
        seen.push(...(await consumer.poll({ max: 16 })).map((message) => message.text()));
    }
    await Promise.all([first.close(), second.close()]);
    expect([...new Set(seen)].sort()).toEqual(bodies(200).sort());
    expect((await admin.lag(group, topic)).total).toBe(0);
  });

  it("pulls the queues that it is assigned, from where it is told, but for those that are paused", async () => {
    for (let index = 0; index < 8; index++)
      await producer.send({ topic, body: `m${index}`, queue: index % 2 });
    await using consumer = new PullConsumer(options());
    await consumer.assign([
      { topic, queue: 0 },
      { topic, queue: 1, offset: 3 },
    ]);
    consumer.pause({ topic, queue: 0 });
    expect((await consumer.poll()).map((message) => message.text())).toEqual(["m7"]);
    expect(await consumer.poll()).toEqual([]);
    consumer.resume({ topic, queue: 0 });
    await consumer.seek({ topic, queue: 0 }, 2);
    expect(await pollAll(consumer)).toEqual(["m4", "m6"]);
    await consumer.seek({ topic, queue: 1 }, { at: 0 });
    expect(await pollAll(consumer)).toEqual(["m1", "m3", "m5", "m7"]);
    expect(consumer.position({ topic, queue: 1 })).toBe(4);
  });

  it("is an endless list of messages; what was looked at is committed", async () => {
    await admin.createGroup(group, { from: "earliest" });
    await send(20);
    const seen: string[] = [];
    await using consumer = new PullConsumer({ ...options(), group });
    consumer.subscribe(topic);
    for await (const message of consumer) {
      seen.push(message.text());
      if (seen.length === 20) break;
    }
    expect(seen.sort()).toEqual(bodies(20).sort());
    await consumer.close();
    expect((await admin.lag(group, topic)).total).toBe(0);
  });
});

describe("transactions", () => {
  it("are committed, rolled back, or left to the checker, as the local work says", async () => {
    const asked: string[] = [];
    await using transactor = new Producer({
      ...options(),
      group: "shop",
      checker: ({ message, check }) => {
        asked.push(`${message.text()} ${check}`);
        return check < 2 ? "unknown" : "commit";
      },
    });
    const run = (body: string, outcome: "commit" | "rollback" | "unknown") =>
      transactor.sendInTransaction({ topic, body, queue: 0 }, async () => outcome);
    expect((await run("a", "commit")).state).toBe("COMMITTED");
    expect((await run("b", "rollback")).state).toBe("ROLLED_BACK");
    expect((await run("c", "unknown")).state).toBe("PREPARED");
    await expect(
      transactor.sendInTransaction({ topic, body: "d", queue: 0 }, async () => {
        throw new Error("the database said no");
      }),
    ).rejects.toThrow("the database said no");
    await until(() => asked.length === 2);
    await clock.sleep(1_000);
    expect(asked).toEqual(["c 1", "c 2"]);
    await using reader = new PullConsumer(options());
    await reader.assign([{ topic, queue: 0 }]);
    expect(await pollAll(reader)).toEqual(["a", "c"]);
  });

  it("of a producer that is gone are told to another of its group that sends nothing", async () => {
    const gone = new Producer({ ...options(), group: "shop", checker: () => "unknown" });
    const left = { topic, body: "left", queue: 0 };
    const { transactionId } = await gone.sendInTransaction(left, async () => "unknown");
    await gone.close();
    const asked: string[] = [];
    await using other = new Producer({
      ...options(),
      group: "shop",
      checker: (check) => {
        asked.push(check.transactionId);
        return "commit";
      },
    });
    await other.answerChecks(topic);
    await until(() => asked.length === 1);
    expect(asked).toEqual([transactionId]);
    await clock.sleep(1_000);
    await using reader = new PullConsumer(options());
    await reader.assign([{ topic, queue: 0 }]);
    expect(await pollAll(reader)).toEqual(["left"]);
  });
});

function options() {
  return { brokers: [server.url], fetch: server.fetch, clock };
}

function push(more: Pick<PushConsumerOptions, "handler"> & Partial<PushConsumerOptions>) {
  return new PushConsumer({ ...options(), group, subscriptions: { [topic]: "*" }, ...more });
}

function bodies(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `m${index}`);
}

async function send(count: number): Promise<void> {
  await producer.send(bodies(count).map((body) => ({ topic, body })));
}

async function pollAll(consumer: PullConsumer): Promise<string[]> {
  const texts: string[] = [];
  for (let empty = 0; empty < 2; ) {
    const messages = await consumer.poll();
    texts.push(...messages.map((message) => message.text()));
    empty = messages.length === 0 ? empty + 1 : 0;
  }
  return texts;
}

/** Time passes only while everybody sleeps, so this takes none. */
async function until(happened: () => boolean): Promise<void> {
  for (let waited = 0; waited < 10_000 && !happened(); waited++) await clock.sleep(100);
  expect(happened()).toBe(true);
}
