import { createHmac } from "node:crypto";
import { describe, expect, it } from "vitest";
import { MemoryAlarm } from "../../../src/adapters/memory/memory-alarm.ts";
import { MemoryWebhooks, type WebhookCall } from "../../../src/adapters/memory/memory-webhooks.ts";
import { Broker } from "../../../src/broker/broker.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import type { Ports } from "../../../src/broker/ports/ports.ts";
import type { WebhookAnswer } from "../../../src/broker/ports/webhooks.ts";
import { refusalOf } from "../../support/code-of.ts";
import { memoryPorts } from "../../support/memory-ports.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const second = 1_000;
const minute = 60 * second;
const url = "https://shop.example.com/checks";

type Reply = WebhookAnswer | "none";

const says = (value: unknown, status = 200): WebhookAnswer => ({
  status,
  body: Buffer.from(typeof value === "string" ? value : JSON.stringify(value)),
});
const [commit, rollback, unknown] = ["commit", "rollback", "unknown"].map((outcome) =>
  says({ outcome }),
) as [WebhookAnswer, WebhookAnswer, WebhookAnswer];

interface Asked extends WebhookCall {
  /** Since it was prepared (ms). */
  readonly at: number;
  readonly json: { transactionId: string; topic: string; message: object; check: number };
}

describe("a group with a webhook", () => {
  it("is asked when the first check is due, though nobody polls or sweeps, and the answer settles it", async () => {
    for (const [answer, state] of [
      [commit, "COMMITTED"],
      [rollback, "ROLLED_BACK"],
    ] as const) {
      const { io, broker, asked, look } = await world([answer]);
      const id = await prepare(io, broker);
      await io.clock.sleep(minute);
      expect(asked).toHaveLength(1);
      expect(asked[0]?.at).toBeGreaterThanOrEqual(6 * second);
      expect(asked[0]?.at).toBeLessThanOrEqual(7 * second);
      const message = { queue: 0, messageId: expect.any(String) };
      const transactionId = Buffer.from(id).toString("hex");
      expect(asked[0]?.json).toEqual({ transactionId, topic: "orders", message, check: 1 });
      expect((await look(id)).state).toBe(state);
    }
  });

  it("is asked again with every further check, and what it does not know at last is discarded", async () => {
    const { io, broker, asked, look } = await world([unknown], { checksMax: 3 });
    const id = await prepare(io, broker);
    await io.clock.sleep(30 * minute);
    await broker.sweep(io);
    expect(asked.map(({ json }) => json.check)).toEqual([1, 2, 3]);
    const [first = 0, ...later] = asked.map(({ at }) => at);
    for (const [index, at] of later.entries()) {
      const dueAt = first + (index + 1) * 30 * second;
      expect(at).toBeGreaterThanOrEqual(dueAt);
      expect(at).toBeLessThanOrEqual(dueAt + 3 * second);
    }
    expect((await look(id)).state).toBe("DISCARDED");
  });

  it.each([
    ["a redirect", says({ outcome: "commit" }, 302)],
    ["an error of its own", says({ outcome: "commit" }, 404)],
    ["no JSON", says("commit")],
    ["nothing", says("")],
    ["null", says("null")],
    ["another outcome", says({ outcome: "COMMIT" })],
    ["too much", { status: 200, body: undefined }],
  ])("does not know where it answers %s, and is asked at the next check", async (_, answer) => {
    const { io, broker, asked, look } = await world([answer, commit]);
    const id = await prepare(io, broker);
    await io.clock.sleep(20 * second);
    expect(asked).toHaveLength(1);
    expect((await look(id)).state).toBe("PREPARED");
    await io.clock.sleep(minute);
    expect(asked.map(({ json }) => json.check)).toEqual([1, 2]);
    expect((await look(id)).state).toBe("COMMITTED");
  });

  it("is asked again within the check where nobody answers, more and more seldom, and nothing is counted", async () => {
    const replies: Reply[] = ["none", says("", 503), says("", 429), commit];
    const { io, broker, asked, look } = await world(replies);
    const id = await prepare(io, broker);
    await io.clock.sleep(25 * second);
    expect(asked).toHaveLength(4);
    expect(new Set(asked.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(asked.map(({ json }) => json.check)).toEqual([1, 1, 1, 1]);
    const pauses = asked.slice(1).map(({ at }, index) => at - (asked[index]?.at ?? 0));
    expect(pauses[2]).toBeGreaterThan(pauses[0] ?? 0);
    expect((await look(id)).state).toBe("COMMITTED");
  });

  it("that is away for an hour loses no half", async () => {
    const replies: Reply[] = ["none"];
    const { io, broker, asked, look } = await world(replies);
    const id = await prepare(io, broker);
    await io.clock.sleep(60 * minute);
    expect(asked.length).toBeGreaterThan(100);
    expect(asked.at(-1)?.json.check).toBe(1);
    for (const { timeoutMs } of asked) expect(timeoutMs).toBeLessThanOrEqual(10 * second);
    replies[0] = commit;
    await io.clock.sleep(minute);
    expect((await look(id)).state).toBe("COMMITTED");
  });

  it("is asked once a check, however many brokers are woken and sweep, and besides those who poll", async () => {
    const { io, broker, others, asked, ring } = await world([unknown]);
    for (let number = 0; number < 20; number++) await prepare(io, broker);
    const all = [broker, ...others];
    ring.also = others;
    await io.clock.sleep(6 * second);
    const polls = all.map((each) =>
      each.checks.take(io, "shop", { max: 3, waitMs: 0, isOver: () => true }),
    );
    await Promise.all(all.map((each) => each.sweep(io)));
    await io.clock.sleep(10 * second);
    const polled = (await Promise.all(polls))
      .flat()
      .map(({ id }) => Buffer.from(id).toString("hex"));
    const told = [...polled, ...asked.map(({ json }) => json.transactionId)];
    expect(told).toHaveLength(20);
    expect(new Set(told).size).toBe(20);
  });

  it("is asked by a sweep where no alarm rings", async () => {
    const { io, broker, look } = await world([commit], {}, { rings: false });
    const id = await prepare(io, broker);
    for (let sweeps = 0; sweeps < 4; sweeps++) {
      await io.clock.sleep(15 * second);
      await broker.sweep(io);
    }
    expect((await look(id)).state).toBe("COMMITTED");
  });

  it("is asked about halves that were open when it was set, and no more when it is removed", async () => {
    const { io, broker, asked, look } = await world([commit], {}, { webhook: false });
    const id = await prepare(io, broker);
    await io.clock.sleep(minute);
    expect(asked).toEqual([]);
    await broker.producerGroups.change(io, "shop", { webhook: { url } });
    await broker.sweep(io);
    expect((await look(id)).state).toBe("COMMITTED");
    await broker.producerGroups.change(io, "shop", { webhook: { url: null } });
    await prepare(io, broker);
    await io.clock.sleep(minute);
    await broker.sweep(io);
    expect(asked).toHaveLength(1);
  });

  it("gets what is signed as Standard Webhooks says, for a day by a secret that was replaced, too", async () => {
    const { io, broker, asked, secrets } = await world([unknown]);
    const rotate = async () => {
      const webhook = { rotates: true };
      const { minted = "" } = await broker.producerGroups.change(io, "shop", { webhook });
      secrets.unshift(minted);
    };
    const last = async () => {
      await prepare(io, broker);
      await io.clock.sleep(10 * second);
      const { headers, body } = asked.at(-1) as Asked;
      const { "webhook-id": id = "", "webhook-timestamp": timestamp = "" } = headers;
      expect(Math.abs(Number(timestamp) * second - io.clock.now())).toBeLessThan(10 * second);
      const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
      const expected = secrets.map((secret) => {
        const key = Buffer.from(secret, "base64");
        expect(key).toHaveLength(32);
        return `v1,${createHmac("sha256", key).update(signed).digest("base64")}`;
      });
      return { given: headers["webhook-signature"]?.split(" "), expected };
    };
    const first = await last();
    expect(first.given).toEqual(first.expected);
    await rotate();
    const second2 = await last();
    expect(second2.given).toEqual(second2.expected);
    expect(second2.given).toHaveLength(2);
    io.clock.pass(25 * 60 * minute);
    const third = await last();
    expect(third.given).toEqual(third.expected.slice(0, 1));
    await broker.producerGroups.change(io, "shop", { webhook: { url: null } });
    expect(await refusalOf(rotate())).toMatchObject({
      code: "invalid",
      field: "rotateCheckSecret",
    });
  });

  it("that may not be called is not asked, and whoever runs the broker is told", async () => {
    const { io, broker, errors, look, ring } = await world([commit]);
    const webhooks = new MemoryWebhooks(async () => {
      throw new Error("it may not be called");
    });
    ring.ports = { ...io, webhooks };
    const id = await prepare(io, broker);
    await io.clock.sleep(10 * second);
    expect(errors.map(String)).toEqual(["Error: it may not be called"]);
    expect((await look(id)).state).toBe("PREPARED");
  });
});

/** Brokers whose alarms ring, and a webhook that gives these answers, the last one again and again. */
async function world(
  replies: readonly Reply[],
  settings: { readonly checksMax?: number } = {},
  { rings = true, webhook = true } = {},
) {
  const asked: Asked[] = [];
  const errors: unknown[] = [];
  const began = { at: 0 };
  const clock = new VirtualClock();
  const webhooks = new MemoryWebhooks(async (call) => {
    const json = JSON.parse(Buffer.from(call.body).toString());
    const reply = replies[Math.min(asked.length, replies.length - 1)];
    asked.push({ ...call, json, at: clock.now() - began.at });
    if (reply === undefined || reply === "none") throw new Unavailable("nobody answers");
    return reply;
  });
  const ring: { also: readonly Broker[]; ports?: Ports } = { also: [] };
  const alarm = new MemoryAlarm({
    clock,
    ring: async (id) => {
      if (!rings) return;
      const options = {
        until: Number.POSITIVE_INFINITY,
        onError: (error: unknown) => errors.push(error),
      };
      const ports = ring.ports ?? io;
      await Promise.all([broker, ...ring.also].map((each) => each.ring(ports, id, options)));
    },
  });
  const io = { ...memoryPorts(clock), alarm, webhooks };
  const newBroker = () => {
    const made = new Broker(io);
    made.webhookChecks.describe = (_, { queue, messageId }) => ({ queue, messageId });
    return made;
  };
  const broker = newBroker();
  await broker.topics.ensure(io, "orders", { queues: 1 });
  const changes = { ...settings, ...(webhook ? { webhook: { url } } : {}) };
  const { minted = "" } = await broker.producerGroups.change(io, "shop", changes);
  began.at = clock.now();
  const look = (id: Uint8Array) => broker.transactions.look(io, id);
  const others = [newBroker(), newBroker()];
  return { io, broker, others, asked, errors, look, ring, secrets: [minted] };
}

async function prepare(io: Ports, broker: Broker): Promise<Uint8Array> {
  const message = { body: Uint8Array.of(1) };
  const half = { topic: "orders", producerGroup: "shop", message };
  return (await broker.transactions.prepare(io, half)).id;
}
