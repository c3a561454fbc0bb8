import { beforeEach, describe, expect, it } from "vitest";
import { queueOfGroup } from "../../src/broker/topics/queue-choice.ts";
import {
  Admin,
  type Fetch,
  Producer,
  type ProducerOptions,
  SimpleConsumer,
  type StoredReceipt,
} from "../../src/client/index.ts";
import { inProcessBroker } from "../support/api-fetch.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const topic = "orders";
const queues = 4;
const nameServers = ["http://names-1.test", "http://names-2.test"];

/** Two brokers that know nothing of each other, and two name servers, of which one does not answer. */
class World {
  readonly clock = new VirtualClock();
  readonly brokers = new Map(
    ["http://a.test", "http://b.test"].map((url, index) => [
      url,
      inProcessBroker(this.clock, url, index + 1),
    ]),
  );
  /** Those at which the name server says that the topic is. */
  where = [...this.brokers.keys()];
  readonly dead = new Set<string>([nameServers[0] ?? ""]);
  readonly asked: string[] = [];

  readonly fetch: Fetch = async (url, init) => {
    const { origin, pathname } = new URL(url);
    this.asked.push(`${init.method} ${origin}${pathname}`);
    if (this.dead.has(origin)) throw new TypeError("fetch failed");
    const broker = this.brokers.get(origin);
    return broker === undefined ? this.#route() : await broker.fetch(url, init);
  };

  #route(): Response {
    const brokers = this.where.map((endpoint) => ({ name: new URL(endpoint).host, endpoint }));
    return Response.json({
      topic,
      queues: brokers.flatMap(({ name: broker }) =>
        Array.from({ length: queues }, (_, queue) => ({ broker, queue, permission: "rw" })),
      ),
      brokers,
      version: 1,
    });
  }

  producer(more: Partial<ProducerOptions> = {}): Producer {
    return new Producer({ nameServers, fetch: this.fetch, clock: this.clock, ...more });
  }

  admin(url: string): Admin {
    return new Admin({ brokers: [url], fetch: this.fetch, clock: this.clock });
  }
}

let world: World;
beforeEach(async () => {
  world = new World();
  for (const url of world.where) await world.admin(url).createTopic(topic, { queues });
});

describe("a route", () => {
  it("is asked of any name server that answers, and kept for 30 s", async () => {
    await using producer = world.producer();
    const routesAsked = () =>
      world.asked.filter((request) => request === `GET ${nameServers[1]}/v1/routes/${topic}`);
    for (let sent = 0; sent < 5; sent++) await producer.send({ topic, body: "x" });
    expect(routesAsked()).toHaveLength(1);
    await world.clock.sleep(30_000);
    await producer.send({ topic, body: "x" });
    expect(routesAsked()).toHaveLength(2);
  });

  it("spreads messages over all queues of all brokers", async () => {
    await using producer = world.producer();
    const places = new Set<string>();
    for (let sent = 0; sent < 2 * queues; sent++) {
      const { broker, queue } = (await producer.send({ topic, body: "x" })) as StoredReceipt;
      places.add(`${broker} ${queue}`);
    }
    expect(places.size).toBe(2 * queues);
  });

  it("gives every message group one queue of one broker, by its hash over all of them", async () => {
    await using producer = world.producer();
    for (let number = 0; number < 30; number++) {
      const messageGroup = `g${number}`;
      const place = queueOfGroup(messageGroup, 2 * queues);
      const expected = { broker: place < queues ? "a.test" : "b.test", queue: place % queues };
      for (let again = 0; again < 2; again++)
        expect(await producer.send({ topic, body: "x", messageGroup })).toMatchObject(expected);
    }
  });

  it("leads past a broker that failed, which is asked again after a while; its message groups wait for it", async () => {
    await using producer = world.producer({ timeoutMs: 60_000 });
    await producer.send({ topic, body: "x" });
    world.dead.add("http://a.test");
    const ofA = Array.from({ length: 50 }, (_, number) => `g${number}`).find(
      (group) => queueOfGroup(group, 2 * queues) < queues,
    );
    const waiting = producer.send({ topic, body: "waits", messageGroup: ofA ?? "" });
    await world.clock.sleep(100);
    const elsewhere = Array.from({ length: 20 }, () => producer.send({ topic, body: "x" }));
    for (const receipt of await Promise.all(elsewhere)) expect(receipt.broker).toBe("b.test");
    world.dead.delete("http://a.test");
    expect((await waiting).broker).toBe("a.test");
    await world.clock.sleep(30_000);
    const back = new Set<string>();
    for (let sent = 0; sent < 20; sent++)
      back.add((await producer.send({ topic, body: "x" })).broker);
    expect(back).toEqual(new Set(["a.test", "b.test"]));
  });

  it("is asked again at once where it led to a broker that does not have the topic", async () => {
    world.where = ["http://a.test"];
    await using producer = world.producer();
    await producer.send({ topic, body: "x" });
    await world.admin("http://a.test").deleteTopic(topic, { force: true });
    world.where = ["http://b.test"];
    await world.clock.sleep(6_000);
    expect((await producer.send({ topic, body: "x" })).broker).toBe("b.test");
  });

  it("leads a consumer to what lies at any of the brokers, and an acknowledgement to where it came from", async () => {
    await using producer = world.producer();
    const bodies = Array.from({ length: 40 }, (_, number) => `m${number}`);
    for (const body of bodies) await producer.send({ topic, body });
    for (const url of world.where) await world.admin(url).createGroup("g", { from: "earliest" });
    const { fetch, clock } = world;
    await using consumer = new SimpleConsumer({ nameServers, fetch, clock, group: "g" });
    const seen: string[] = [];
    for (let turn = 0; turn < 20 && seen.length < 40; turn++) {
      const messages = await consumer.receive(topic, { waitMs: 100 });
      seen.push(...messages.map((message) => message.text()));
      await consumer.ack(messages);
    }
    expect(seen.sort()).toEqual(bodies.sort());
    for (const url of world.where) expect((await world.admin(url).lag("g", topic)).total).toBe(0);
  });
});
