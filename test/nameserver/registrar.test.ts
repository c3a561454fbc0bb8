import { writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SystemClock } from "../../src/adapters/local/system-clock.ts";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import type { BrokerIdentity } from "../../src/broker/broker-identity.ts";
import { RequestBroker } from "../../src/broker/request-broker.ts";
import type { RunningServer } from "../../src/local/server.ts";
import { startNameServer } from "../../src/nameserver/process.ts";
import { beatUntil, Registrar, type Send } from "../../src/nameserver/registrar.ts";
import { readNameServerSettings } from "../../src/nameserver/settings.ts";
import { makeTemporaryFolder } from "../adapters/local/temporary-folder.ts";
import { call } from "../support/http-client.ts";
import { memoryPorts } from "../support/memory-ports.ts";

class NamedBroker extends RequestBroker {
  override identity: BrokerIdentity;

  constructor(name: string) {
    super(memoryPorts(new SystemClock()));
    this.identity = { name, endpoint: `http://${name}:1290`, region: "here" };
  }
}

async function nameServer(...args: string[]): Promise<RunningServer> {
  const settings = readNameServerSettings(["--port", "0", "--settle-ms", "0", ...args]);
  if (settings === undefined) throw new Error("help was not asked for");
  return startNameServer(settings);
}

describe("a broker among name servers", () => {
  let running: RunningServer[];
  let errors: string[];
  const onError = (error: unknown) => void errors.push((error as Error).message);
  const registrarOf = (broker: NamedBroker, more: { token?: string } = {}) =>
    new Registrar({
      broker,
      identity: broker.identity,
      nameServers: running.map(({ url }) => url),
      leaseMs: 60_000,
      onError,
      ...more,
    });
  const route = (at: number, topic: string, headers = {}) =>
    call(running[at]?.url ?? "", "GET", `/v1/routes/${topic}`, { headers });

  beforeEach(async () => {
    errors = [];
    running = [await nameServer(), await nameServer()];
  });
  afterEach(() => Promise.all(running.map((one) => one.close())));

  it("is known to each with its topics, and told which belong to another", async () => {
    const [a, b] = [new NamedBroker("a"), new NamedBroker("b")];
    await a.topics.ensure(a.ports, "orders", { queues: 2 });
    await b.topics.ensure(b.ports, "orders", { queues: 2 });
    await b.topics.ensure(b.ports, "bills", { queues: 1, shared: true });
    const [ofA, ofB] = [registrarOf(a), registrarOf(b)];
    expect(await ofA.beat(a.ports)).toBe(true);
    expect(await ofB.beat(b.ports)).toBe(true);
    await ofB.beat(b.ports);
    for (const at of [0, 1]) {
      expect((await route(at, "orders")).json).toMatchObject({
        queues: [{ broker: "a" }, { broker: "a" }],
        brokers: [{ name: "a", endpoint: "http://a:1290", region: "here" }],
      });
      expect((await route(at, "bills")).json.queues).toMatchObject([{ broker: "b" }]);
    }
    // Each is told once, however often the broker registers.
    expect(errors).toHaveLength(2);
    expect(errors[0]).toContain("topic orders belongs to broker a");
  });

  it("is known again to one that came back empty, after one registration", async () => {
    const a = new NamedBroker("a");
    await a.topics.ensure(a.ports, "orders", { queues: 1 });
    const registrar = registrarOf(a);
    await registrar.beat(a.ports);
    const [first] = running;
    await first?.close();
    expect(await registrar.beat(a.ports)).toBe(false);
    expect((await route(1, "orders")).status).toBe(200);
    running[0] = await nameServer("--port", new URL(first?.url ?? "").port);
    expect((await route(0, "orders")).status).toBe(404);
    expect(await registrar.beat(a.ports)).toBe(true);
    expect((await route(0, "orders")).json.queues).toHaveLength(1);
  });

  it("needs the token of brokers where there is one; those who ask have another", async () => {
    const folder = await makeTemporaryFolder();
    await writeFile(`${folder.path}/asks`, "asks\n");
    await writeFile(`${folder.path}/brokers`, "registers\n");
    const files = ["--token-file", `${folder.path}/asks`];
    running.push(await nameServer(...files, "--broker-token-file", `${folder.path}/brokers`));
    const a = new NamedBroker("a");
    await a.topics.ensure(a.ports, "orders", { queues: 1 });
    for (const token of [undefined, "asks", "wrong"]) {
      const registrar = registrarOf(a, token === undefined ? {} : { token });
      expect(await registrar.beat(a.ports), token).toBe(false);
    }
    expect(await registrarOf(a, { token: "registers" }).beat(a.ports)).toBe(true);
    const headers = { authorization: "Bearer asks" };
    expect((await route(2, "orders", headers)).status).toBe(200);
    expect((await route(2, "orders")).status).toBe(401);
    const refused = await call(running[2]?.url ?? "", "DELETE", "/v1/brokers/a", { headers });
    expect(refused).toMatchObject({ status: 403, json: { code: "permission_denied" } });
    expect((await call(running[2]?.url ?? "", "GET", "/v1/health")).status).toBe(200);
    await folder.remove();
  });

  it("is told which field of a registration is wrong", async () => {
    const put = (json: unknown, name = "a") =>
      call(running[0]?.url ?? "", "PUT", `/v1/brokers/${name}`, { json });
    const right = { endpoint: "http://a:1290", leaseMs: 1_000, topics: {} };
    for (const [field, json] of [
      ["endpoint", { ...right, endpoint: "ftp://a" }],
      ["leaseMs", { ...right, leaseMs: -1 }],
      ["topics.orders.queues", { ...right, topics: { orders: { queues: 0 } } }],
      ["topics.a b", { ...right, topics: { "a b": { queues: 1 } } }],
      ["more", { ...right, more: 1 }],
    ] as const) {
      expect(await put(json), field).toMatchObject({
        status: 422,
        json: { code: "invalid", details: { field } },
      });
    }
    expect((await put(right, "a%20b")).json.details.field).toBe("broker");
    expect((await put(right)).json).toMatchObject({ name: "a", stale: false, topics: {} });
  });
});

describe("the beats", () => {
  it("come every 30 s, at once on a change of topics, soon after a failure, and at last say that the broker goes", async () => {
    const clock = new ManualClock();
    const broker = new RequestBroker(memoryPorts(clock));
    const beats: { at: number; leaseMs: number; topics: string[] }[] = [];
    let fails = false;
    const began = clock.now();
    const send: Send = async (_, { body }) => {
      const { leaseMs, topics } = JSON.parse(body);
      beats.push({ at: clock.now() - began, leaseMs, topics: Object.keys(topics) });
      if (fails) throw new Error("nobody listens");
      return new Response(JSON.stringify({ topics: {} }));
    };
    const onError = () => undefined;
    const registrar = new Registrar({
      broker,
      identity: { name: "a", endpoint: "http://a:1290" },
      nameServers: ["http://n"],
      leaseMs: 99,
      send,
      onError,
    });
    const stop = new AbortController();
    const beating = beatUntil(registrar, broker, { signal: stop.signal, onError });
    await clock.advance(29_999);
    expect(beats).toEqual([{ at: 0, leaseMs: 99, topics: [] }]);
    await clock.advance(1);
    expect(beats).toHaveLength(2);
    await clock.advance(10_000);
    await broker.topics.ensure(broker.ports, "orders", { queues: 1 });
    await clock.advance(0);
    expect(beats[2]).toEqual({ at: 40_000, leaseMs: 99, topics: ["orders"] });
    fails = true;
    await clock.advance(30_000);
    await clock.advance(4_000);
    expect(beats.slice(3).map(({ at }) => at)).toEqual([70_000, 72_000, 74_000]);
    fails = false;
    stop.abort();
    await clock.advance(0);
    await beating;
    expect(beats.at(-1)).toMatchObject({ leaseMs: 0, topics: ["orders"] });
  });
});
