import { describe, expect, it } from "vitest";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { nameServerLimits } from "../../src/nameserver/limits.ts";
import { type ClaimedTopic, Registry } from "../../src/nameserver/registry.ts";
import { refusalOf } from "../support/code-of.ts";
import { memoryPorts } from "../support/memory-ports.ts";

const leaseMs = 1_000;
const shared = { queues: 1, shared: true };
const own = { queues: 1 };

function newRegistry({ settleMs = 0, clock = new ManualClock() } = {}) {
  const io = memoryPorts(clock);
  const registry = new Registry(io, { settleMs });
  return {
    clock,
    io,
    registry,
    /** The names of the topics that were granted, and those that were refused with their owner. */
    async register(name: string, topics: Record<string, ClaimedTopic>, lease = leaseMs) {
      const endpoint = `http://${name}:1290`;
      const answer = await registry.register(io, { name, endpoint, leaseMs: lease, topics });
      const told = [...answer.topics].map(([topic, granted]) => [
        topic,
        "error" in granted ? granted.error.details["owner"] : granted.since,
      ]);
      return Object.fromEntries(told);
    },
    route: (topic: string) => registry.route(io, topic),
    async pairs(topic: string) {
      const { queues } = await registry.route(io, topic);
      return queues.map(({ broker, queue }) => `${broker}/${queue}`);
    },
  };
}

describe("a topic", () => {
  it("belongs to the broker that registered it first; another one's claim is refused and its other topics are taken", async () => {
    const { clock, registry, io, register, pairs } = newRegistry();
    const since = clock.now();
    expect(await register("a", { orders: own })).toEqual({ orders: since });
    await clock.advance(1);
    expect(await register("b", { orders: own, bills: own })).toEqual({
      orders: "a",
      bills: since + 1,
    });
    const { topics } = await registry.register(io, {
      name: "b",
      endpoint: "http://b:1290",
      leaseMs,
      topics: { orders: shared },
    });
    expect(topics.get("orders")).toMatchObject({
      error: {
        code: "topic_owned",
        details: { field: "topics.orders", topic: "orders", owner: "a" },
      },
    });
    expect(await pairs("orders")).toEqual(["a/0"]);
  });

  it("is spread over brokers that share it, by their names and then by queue", async () => {
    const { register, pairs, route } = newRegistry();
    await register("b", { orders: { queues: 2, shared: true } });
    await register("a", { orders: { queues: 1, shared: true, writable: false } });
    expect(await pairs("orders")).toEqual(["a/0", "b/0", "b/1"]);
    const { queues, brokers } = await route("orders");
    expect(queues.map(({ permission }) => permission)).toEqual(["r", "rw", "rw"]);
    expect(brokers).toEqual([
      { name: "a", endpoint: "http://a:1290" },
      { name: "b", endpoint: "http://b:1290" },
    ]);
  });

  it("is its owner's alone as soon as he does not share it any more", async () => {
    const { clock, register, pairs } = newRegistry();
    await register("a", { orders: shared });
    await clock.advance(1);
    await register("b", { orders: shared });
    await register("a", { orders: own });
    expect(await pairs("orders")).toEqual(["a/0"]);
    expect(await register("b", { orders: shared })).toEqual({ orders: "a" });
  });

  it("is free when its broker names it no more, or is removed", async () => {
    const { registry, io, register, pairs, route } = newRegistry();
    await register("a", { orders: own, bills: own });
    await register("a", { bills: own });
    expect((await refusalOf(route("orders")))["code"]).toBe("topic_not_found");
    await register("b", { orders: own });
    expect(await pairs("orders")).toEqual(["b/0"]);
    await registry.remove(io, "a");
    expect((await refusalOf(route("bills")))["code"]).toBe("topic_not_found");
    expect((await refusalOf(registry.remove(io, "a")))["code"]).toBe("broker_not_found");
  });

  it("goes to the same broker at name servers that heard of two in another order", async () => {
    const clock = new ManualClock();
    const [one, other] = [newRegistry({ clock }), newRegistry({ clock })];
    const a = await one.register("a", { orders: own });
    await clock.advance(5);
    const b = await other.register("b", { orders: own });
    await one.register("b", { orders: { ...own, since: b["orders"] } });
    await other.register("a", { orders: { ...own, since: a["orders"] } });
    expect([await one.pairs("orders"), await other.pairs("orders")]).toEqual([["a/0"], ["a/0"]]);
    expect(await other.register("b", { orders: { ...own, since: b["orders"] } })).toEqual({
      orders: "a",
    });
  });

  it("is not taken from one who was there before the name server forgot all", async () => {
    const { clock, register, pairs } = newRegistry();
    const granted = clock.now() - 10_000;
    await register("b", { orders: own });
    await register("a", { orders: { ...own, since: granted } });
    expect(await pairs("orders")).toEqual(["a/0"]);
  });

  it("is held by each of many brokers that come at once", async () => {
    const { clock, register, pairs } = newRegistry();
    const names = Array.from({ length: 12 }, (_, at) => `broker-${String(at).padStart(2, "0")}`);
    const hour = 60 * 60_000;
    const all = Promise.all(names.map((name) => register(name, { orders: shared }, hour)));
    await clock.advance(60_000);
    await all;
    expect(await pairs("orders")).toEqual(names.map((name) => `${name}/0`));
  });
});

describe("a lease", () => {
  it("that ends makes a broker stale and leaves its queues where they are", async () => {
    const { clock, registry, io, register, route, pairs } = newRegistry();
    await register("a", { orders: shared });
    await register("b", { orders: shared }, 2 * leaseMs);
    const before = await route("orders");
    await clock.advance(leaseMs - 1);
    expect(await route("orders")).toEqual(before);
    await clock.advance(1);
    const after = await route("orders");
    expect(after.brokers).toMatchObject([{ name: "a", stale: true }, { name: "b" }]);
    expect(after.brokers[1]).not.toHaveProperty("stale");
    expect(after.queues).toEqual(before.queues);
    expect(after.version).not.toBe(before.version);
    const { brokers } = await registry.list(io, { after: undefined, limit: 10 });
    expect(brokers.map(({ name, stale }) => [name, stale])).toEqual([
      ["a", true],
      ["b", false],
    ]);
    await register("a", { orders: shared });
    expect(await route("orders")).toEqual(before);
    expect(await pairs("orders")).toHaveLength(2);
  });

  it("of 0 says that the broker goes: stale at once, its queues stay", async () => {
    const { register, route, pairs } = newRegistry();
    await register("a", { orders: own });
    await register("a", { orders: own }, 0);
    expect((await route("orders")).brokers).toMatchObject([{ name: "a", stale: true }]);
    expect(await pairs("orders")).toEqual(["a/0"]);
  });

  it("that ended long ago is forgotten, and what it held is free", async () => {
    const { clock, registry, io, register, route, pairs } = newRegistry();
    await register("a", { orders: own });
    await clock.advance(leaseMs + nameServerLimits.forgetMs - 1);
    expect(await register("b", { orders: own })).toEqual({ orders: "a" });
    await clock.advance(1);
    expect((await refusalOf(route("orders")))["code"]).toBe("topic_not_found");
    expect((await registry.list(io, { after: undefined, limit: 10 })).brokers).toHaveLength(1);
    await register("b", { orders: own });
    expect(await pairs("orders")).toEqual(["b/0"]);
  });
});

describe("a name server that has just begun", () => {
  it("tells nothing that may lack a broker, but what belongs to one alone", async () => {
    const { clock, register, route, pairs } = newRegistry({ settleMs: 100 });
    await register("a", { orders: shared, bills: own });
    expect(await refusalOf(route("orders"))).toMatchObject({
      code: "not_ready",
      topic: "orders",
      retryAfterMs: 100,
    });
    expect((await refusalOf(route("nothing")))["code"]).toBe("not_ready");
    expect(await pairs("bills")).toEqual(["a/0"]);
    await register("b", { orders: shared });
    await clock.advance(100);
    expect(await pairs("orders")).toEqual(["a/0", "b/0"]);
    expect((await refusalOf(route("nothing")))["code"]).toBe("topic_not_found");
  });
});

it("lists brokers in pages, each once", async () => {
  const { registry, io, register } = newRegistry();
  for (const name of ["c", "a", "b"]) await register(name, {});
  const first = await registry.list(io, { after: undefined, limit: 2 });
  expect(first.brokers.map(({ name }) => name)).toEqual(["a", "b"]);
  const rest = await registry.list(io, { after: first.next, limit: 2 });
  expect([rest.brokers.map(({ name }) => name), rest.next]).toEqual([["c"], undefined]);
});

it("refuses more topics than a row holds", async () => {
  const { register } = newRegistry();
  const names = Array.from(
    { length: nameServerLimits.topicsPerBrokerMax + 1 },
    (_, at) => `t${at}`,
  );
  const topics = Object.fromEntries(names.map((name) => [name, own]));
  expect(await refusalOf(register("a", topics))).toMatchObject({
    code: "invalid",
    field: "topics",
    given: names.length,
  });
});
