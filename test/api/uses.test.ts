import { describe, expect, it } from "vitest";
import { sweepUses } from "../../functions/rights.ts";
import { SystemClock } from "../../src/adapters/local/system-clock.ts";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { preparedToJson } from "../../src/api/message-json.ts";
import type { Ability, Operation } from "../../src/api/operation.ts";
import { operations } from "../../src/api/operations.ts";
import { Broker } from "../../src/broker/broker.ts";
import { readBatch } from "../../src/broker/log/batch.ts";
import { batchOf } from "../support/batches.ts";
import { batchesType, batchType, call } from "../support/http-client.ts";
import { memoryPorts } from "../support/memory-ports.ts";
import { permittedPorts } from "../support/permitted-ports.ts";
import { serve, type Target } from "../support/targets.ts";
import { runApiSuite } from "./api.suite.ts";

/** Operations have the permissions that their `uses` gives them: here they may use nothing else, and have to use it all. */
const seen = new Map<string, Set<Ability>>();

const restrictedTarget: Target = {
  name: "the server whose operations may do what they say",
  start: () => serve(memoryPorts(new SystemClock()), operations.map(restricted)),
};

function restricted(operation: Operation): Operation {
  const used = seen.get(operation.name) ?? new Set<Ability>();
  seen.set(operation.name, used);
  return {
    ...operation,
    run: ({ broker, io }, input) =>
      operation.run(
        { broker, io: permittedPorts(io, operation.uses, (ability) => used.add(ability)) },
        input,
      ),
  };
}

runApiSuite(restrictedTarget);

describe("a broker whose segments are small", () => {
  it("uses what larger ones use now and then: large batches, seals on the way, archives", async () => {
    const ports = memoryPorts(new SystemClock());
    const broker = new Broker(ports, { segmentRowsMax: 2, archiveBytesMin: 0 });
    const server = await serve(ports, operations.map(restricted), broker);
    const base = "/v1/topics/small";
    await call(server.url, "PUT", base, { json: { queues: 1 } });
    const large = batchOf([{ body: new Uint8Array(20_000) }]);
    for (let row = 0; row < 3; row++) {
      const json = { messages: [{ body: `${row}`, queue: 0 }] };
      expect((await call(server.url, "POST", `${base}/messages`, { json })).status).toBe(200);
      const batch = { body: large, type: batchType };
      for (let again = 0; again < 2; again++) {
        await new Promise((resolve) => setTimeout(resolve, 2));
        expect((await call(server.url, "POST", `${base}/messages`, batch)).status).toBe(200);
      }
    }
    await broker.sweep(ports);
    const queue = `${base}/queues/0`;
    const headers = { accept: batchesType };
    const { json } = await call(server.url, "GET", `${queue}/messages/1`);
    for (const answer of [
      await call(server.url, "GET", `${queue}/messages?offset=1`, { headers }),
      await call(server.url, "GET", `${queue}/messages?offset=3`),
      await call(server.url, "GET", `${queue}/offset?at=${json.storedAt}`),
    ])
      expect(answer.status).toBe(200);
    // Consumers that begin at an instant look for it in archived segments, and what they give back is large.
    const ask = async (method: string, path: string, body: object = {}) => {
      const answer = await call(server.url, method, `/v1/groups/${path}`, { json: body });
      expect(answer.status, path).toBeLessThan(300);
      return answer.json;
    };
    const at = json.storedAt;
    for (const group of ["a", "b", "c", "d"])
      await ask("PUT", group, { from: { at }, maxAttempts: 1 });
    await ask("PUT", "a/offsets/small", { offsets: { 0: 1 } });
    await ask("POST", "b/heartbeat", { clientId: "x", topics: ["small"] });
    await ask("POST", "c/poll", { clientId: "x", topics: ["small"] });
    await ask("POST", "a/reset/small", { to: { at } });
    const receive = () => ask("POST", "d/receive", { topic: "small", invisibleMs: 1_000 });
    const { messages } = await receive();
    const [first, second] = messages.map((each: { receiptHandle: string }) => each.receiptHandle);
    await ask("POST", "d/nack", { receiptHandles: [first] });
    expect(second).toBeDefined();
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    // The rest expires and is dead, too.
    await receive();
    for (let tries = 0; tries < 100; tries++) {
      const listed = await call(server.url, "GET", "/v1/groups/d/dead-letters");
      if (listed.json.messages.length === messages.length) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect((await ask("POST", "d/redrive")).moved).toBe(messages.length);
    await server.stop();
  });
});

describe("what an operation says that it uses", () => {
  it.each(operations)("is used by $name while the API suite runs", ({ name, uses }) => {
    expect([...(seen.get(name) ?? [])].sort()).toEqual([...uses].sort());
  });
});

describe("what the sweep says that it uses", () => {
  it("is what it uses", async () => {
    const clock = new ManualClock();
    const ports = memoryPorts(clock);
    const broker = new Broker(ports, { archiveBytesMin: 0 });
    const { topic } = await broker.topics.ensure(ports, "orders", { queues: 1 });
    const queue = { topicId: topic.id, queue: 0 };
    await broker.log.append(ports, queue, readBatch(batchOf([{ body: Uint8Array.of(1) }])));
    await broker.log.seal(ports, queue);
    const used = new Set<Ability>();
    const io = permittedPorts(ports, sweepUses, (ability) => used.add(ability));
    await broker.sweep(io);
    await broker.deleteTopic(ports, "orders", { force: true });
    await broker.topics.ensure(ports, "halves", { queues: 1 });
    const webhook = { url: "https://checks.example.com/" };
    await broker.producerGroups.change(ports, "shop", { webhook });
    const message = { body: Uint8Array.of(1) };
    const half = { topic: "halves", producerGroup: "shop", message };
    await broker.transactions.prepare(ports, half);
    broker.webhookChecks.describe = preparedToJson;
    await clock.advance(600_000);
    await broker.sweep(io);
    expect([...used].sort()).toEqual([...sweepUses].sort());
  });
});
