import { describe, expect, it } from "vitest";
import { Broker } from "../../../src/broker/broker.ts";
import { listDeadLetters, redrive } from "../../../src/broker/consuming/dead-letters.ts";
import type { Received } from "../../../src/broker/consuming/give-out.ts";
import { type GroupSettings, retryDelay } from "../../../src/broker/consuming/group.ts";
import { receiptHandleOf } from "../../../src/broker/consuming/receipt-handle.ts";
import type { ReceiveRequest } from "../../../src/broker/consuming/receive.ts";
import { acknowledge, extend, giveBack } from "../../../src/broker/consuming/settle-receipts.ts";
import { metered, Usage } from "../../../src/broker/metering.ts";
import type { Ports } from "../../../src/broker/ports/ports.ts";
import { sendMessages } from "../../../src/broker/sending/send-messages.ts";
import { refusalOf } from "../../support/code-of.ts";
import { memoryPorts } from "../../support/memory-ports.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const group = "billing";

describe("receiving", () => {
  it("gives each message to one receiver, from whichever queue has some, until it is acknowledged", async () => {
    const world = await start({ queues: 4 });
    await world.send(["a", "b", "c", "d"]);
    const first = await world.receive({ max: 3 });
    const second = await world.receive();
    expect(bodies([...first, ...second]).sort()).toEqual(["a", "b", "c", "d"]);
    expect(await world.receive()).toEqual([]);
    expect(first.every(({ deliveryAttempt }) => deliveryAttempt === 1)).toBe(true);
    expect(await world.ack([...first, ...second])).toEqual([]);
    world.clock.pass(60_000);
    expect(await world.receive()).toEqual([]);
  });

  it("gives out again what was not acknowledged in time, and then refuses the first holder", async () => {
    const world = await start();
    await world.send(["a", "b"]);
    const first = await world.receive({ invisibleMs: 1_000 });
    expect(await world.ack(first.slice(0, 1))).toEqual([]);
    world.clock.pass(1_001);
    const again = await world.other().receive();
    expect(bodies(again)).toEqual(["b"]);
    expect(again[0]?.deliveryAttempt).toBe(2);
    expect(await world.ack(first.slice(1))).toEqual(["receipt_stale"]);
    expect(await world.extend(first.slice(1), 5_000)).toEqual(["receipt_stale"]);
    expect(await world.nack(first.slice(1))).toEqual(["receipt_stale"]);
    expect(await world.ack(again)).toEqual([]);
    // Again by the one who acknowledged it, and by the one who did not.
    expect(await world.ack(again)).toEqual([]);
    expect(await world.ack(first.slice(1))).toEqual(["receipt_stale"]);
    expect(await world.ack(first.slice(0, 1))).toEqual([]);
  });

  it("takes an acknowledgement that comes late, as long as nobody else was given the message", async () => {
    const world = await start();
    await world.send(["a"]);
    const first = await world.receive({ invisibleMs: 1_000 });
    world.clock.pass(5_000);
    expect(await world.other().ack(first)).toEqual([]);
    expect(await world.receive()).toEqual([]);
  });

  it("keeps messages invisible for as long as they are extended, under the same handle", async () => {
    const world = await start();
    await world.send(["a"]);
    const first = await world.receive({ invisibleMs: 1_000 });
    expect(await world.extend(first, 10_000)).toEqual([]);
    world.clock.pass(9_000);
    expect(await world.receive()).toEqual([]);
    expect(await world.extend(first, 10_000)).toEqual([]);
    world.clock.pass(9_000);
    expect(await world.receive()).toEqual([]);
    world.clock.pass(1_001);
    expect(bodies(await world.receive())).toEqual(["a"]);
  });

  it("answers a repeated request with the same messages under the same handles", async () => {
    const world = await start({ queues: 2 });
    await world.send(["a", "b", "c"]);
    const first = await world.receive({ attemptId: "one", max: 2 });
    const again = await world.other().receive({ attemptId: "one", max: 2 });
    expect(handles(again).sort()).toEqual(handles(first).sort());
    expect(await world.receive({ attemptId: "two" })).toHaveLength(1);
    expect(await world.ack(first)).toEqual([]);
    expect(await world.receive({ attemptId: "one" })).toEqual([]);
  });

  it("wakes a long poll at once when something is sent, given back or becomes visible", async () => {
    const world = await start();
    await world.send(["first"]);
    await world.ack(await world.receive());
    const began = world.clock.now();
    const waiting = world.receive({ waitMs: 20_000 });
    await world.clock.sleep(250);
    await world.send(["a"]);
    const messages = await waiting;
    expect(bodies(messages)).toEqual(["a"]);
    expect(world.clock.now() - began).toBeLessThan(260);
    const back = world.receive({ waitMs: 20_000 });
    await world.clock.sleep(30);
    await world.nack(messages, { delayMs: 40 });
    expect(bodies(await back)).toEqual(["a"]);
    expect(world.clock.now() - began).toBeLessThan(340);
  });

  it("passes over what the group's filter does not want, and refuses another filter", async () => {
    const world = await start({}, { filters: { orders: "a || b" } });
    await world.send(["1", "2", "3", "4"], (index) => ({ tag: ["a", "x", "b", "y"][index] ?? "" }));
    const got = await world.receive({ filter: " b||a " });
    expect(bodies(got)).toEqual(["1", "3"]);
    await world.ack(got);
    expect(Object.fromEntries(await world.offsets())).toEqual({ 0: 4 });
    expect(await refusalOf(world.receive({ filter: "a" }))).toMatchObject({
      code: "filter_conflict",
    });
    expect(await refusalOf(world.receive({ filter: "a |b" }))).toMatchObject({ code: "invalid" });
  });

  it("takes the filter of the first request, and then no other", async () => {
    const world = await start();
    await world.send(["1"], () => ({ tag: "a" }));
    expect(await world.receive({ filter: "a" })).toHaveLength(1);
    expect(await refusalOf(world.receive({ filter: "b" }))).toMatchObject({
      code: "filter_conflict",
    });
    expect(await world.receive()).toEqual([]);
  });

  it("gives out nothing while the group is paused", async () => {
    const world = await start();
    await world.send(["a", "b"]);
    const got = await world.receive({ max: 1 });
    await world.broker.groups.change(world.io, group, { paused: true });
    expect(await world.receive()).toEqual([]);
    expect(await world.ack(got)).toEqual([]);
    await world.broker.groups.change(world.io, group, { paused: false });
    expect(bodies(await world.receive())).toEqual(["b"]);
  });

  it("asks the store at most twice for an empty answer over 16 queues, also in a process that never saw a message", async () => {
    const world = await start({ queues: 16 });
    for (let queue = 0; queue < 16; queue++) await world.send([`${queue}`], () => ({ queue }));
    for (let left = 16; left > 0; ) {
      const got = await world.receive();
      await world.ack(got);
      left -= got.length;
    }
    for (const each of [world, world.other()]) {
      await each.receive();
      const usage = new Usage();
      expect(await each.receive({}, metered(world.io, usage))).toEqual([]);
      expect(usage.storeRequests).toBeLessThanOrEqual(2);
      world.clock.pass(21_000);
      await each.receive();
      const later = new Usage();
      await each.receive({}, metered(world.io, later));
      expect(later.storeRequests).toBeLessThanOrEqual(2);
    }
  });
});

describe("giving back", () => {
  it("comes again by the ladder and is a dead letter after the last attempt, with its past", async () => {
    const world = await start({}, { retryMs: [200, 500], maxAttempts: 3 });
    await world.send(["a"]);
    for (const waitMs of [200, 500]) {
      expect(await world.nack(await world.receive())).toEqual([]);
      world.clock.pass(waitMs - 1);
      expect(await world.receive()).toEqual([]);
      world.clock.pass(1);
    }
    const last = await world.receive();
    expect(last[0]?.deliveryAttempt).toBe(3);
    expect(await world.nack(last)).toEqual([]);
    // Again is fine; but acknowledged it is not.
    expect(await world.nack(last)).toEqual([]);
    expect(await world.ack(last)).toEqual(["receipt_stale"]);
    await world.walk(1_000);
    const { deadLetters } = await world.deadLetters();
    expect(deadLetters).toMatchObject([
      { past: { topic: "orders", queue: 0, offset: 0, reason: "attempts", attempts: 3 } },
    ]);
    expect(text(deadLetters[0]?.stored.message.body)).toBe("a");
    expect(await world.receive()).toEqual([]);
  });

  it("leaves the state where it waits long, and comes again from the retry topic with its attempts and first place", async () => {
    const world = await start({}, { retryMs: [90_000], maxAttempts: 3 });
    await world.send(["x", "a"]);
    const [x, a] = await world.receive();
    await world.ack([x as Received]);
    await world.nack([a as Received]);
    expect(Object.fromEntries(await world.offsets())).toEqual({ 0: 2 });
    await world.walk(89_000);
    expect(await world.receive()).toEqual([]);
    await world.walk(1_100);
    const again = await world.receive();
    expect(again).toMatchObject([
      {
        topic: "orders",
        queue: 0,
        deliveryAttempt: 2,
        stored: { offset: 1, messageId: a?.stored.messageId },
      },
    ]);
    expect(again[0]?.stored.message.properties).toBeUndefined();
    expect(await world.ack([a as Received])).toEqual(["receipt_stale"]);
    await world.nack(again);
    await world.walk(91_000);
    const third = await world.receive();
    expect(third[0]?.deliveryAttempt).toBe(3);
    await world.nack(third);
    await world.walk(1_000);
    expect((await world.deadLetters()).deadLetters).toHaveLength(1);
  });

  it("is a dead letter at once where the receiver says so, and where the last one lets it expire", async () => {
    const world = await start({}, { maxAttempts: 1 });
    await world.send(["rejected", "expired"]);
    const [first] = await world.receive({ invisibleMs: 1_000 });
    await world.nack([first as Received], { deadLetter: true });
    world.clock.pass(1_001);
    expect(await world.receive()).toEqual([]);
    await world.walk(1_000);
    const { deadLetters } = await world.deadLetters();
    expect(deadLetters.map(({ past }) => past.reason).sort()).toEqual(["expired", "rejected"]);
  });

  it("is redriven to this group alone, once, its attempts anew", async () => {
    const world = await start({}, { maxAttempts: 1 });
    await world.send(["a", "b", "c"], (index) => ({ tag: index === 1 ? "keep" : "go" }));
    const other = { group: "shipping" };
    await world.ack(await world.receive(other), other.group);
    await world.nack(await world.receive());
    await world.walk(1_000);
    const asked = { group, max: 100, filter: "go" };
    expect(await redrive(world.io, world.broker, { ...asked, dryRun: true })).toEqual({
      moved: 2,
      remaining: 3,
    });
    expect(await redrive(world.io, world.broker, asked)).toEqual({ moved: 2, remaining: 1 });
    expect(await redrive(world.io, world.broker, asked)).toEqual({ moved: 0, remaining: 1 });
    await world.walk(1_000);
    const again = await world.receive();
    expect(bodies(again).sort()).toEqual(["a", "c"]);
    expect(again.every(({ deliveryAttempt }) => deliveryAttempt === 1)).toBe(true);
    expect(await world.receive(other)).toEqual([]);
    const { deadLetters } = await world.deadLetters();
    const stay = deadLetters.filter(({ redriven }) => !redriven);
    expect(stay.map(({ stored }) => text(stored.message.body))).toEqual(["b"]);
    expect(await redrive(world.io, world.broker, { group, max: 1 })).toEqual({
      moved: 1,
      remaining: 0,
    });
  });

  it("never fills the state: whatever is given back, it stays below its limit and others go on", async () => {
    const world = await start({}, { retryMs: [30_000] });
    const count = 2_000;
    for (let sent = 0; sent < count; sent += 500)
      await world.send(Array.from({ length: 500 }, (_, index) => `${sent + index}`));
    const met = new Set<string>();
    for (let step = 0; step < count; step++) {
      const got = await world.receive({ max: 1, invisibleMs: 3_600_000 });
      for (const body of bodies(got)) met.add(body);
      await world.nack(got);
      if (step % 50 === 49) await world.walk(7);
    }
    expect(met.size).toBe(count);
    const again = new Set<string>();
    for (let step = 0; step < 600 && again.size < count; step++) {
      await world.walk(500);
      const got = await world.receive({ max: 128 });
      for (const body of bodies(got)) again.add(body);
      await world.ack(got);
    }
    expect(again.size).toBe(count);
  }, 60_000);
});

describe("an orderly group", () => {
  it("has one message group in one hand at a time, in order, across retries, while others go on", async () => {
    const world = await start({}, { orderly: true, retryMs: [1_000] });
    await world.send(["a1", "b1", "a2", "b2", "a3"], (index) => ({
      messageGroup: index % 2 === 0 ? "a" : "b",
    }));
    const first = await world.receive({ max: 1 });
    expect(bodies(first)).toEqual(["a1"]);
    const second = await world.other().receive({ max: 1 });
    expect(bodies(second)).toEqual(["b1"]);
    expect(await world.receive()).toEqual([]);
    await world.ack(second);
    expect(bodies(await world.receive())).toEqual(["b2"]);
    await world.nack(first);
    expect(await world.receive()).toEqual([]);
    world.clock.pass(1_000);
    const again = await world.receive({ max: 2 });
    expect(bodies(again)).toEqual(["a1", "a2"]);
    expect(again.map(({ deliveryAttempt }) => deliveryAttempt)).toEqual([2, 1]);
    expect(await world.receive()).toEqual([]);
    await world.ack(again);
    expect(bodies(await world.receive())).toEqual(["a3"]);
  });

  it("goes on behind a dead letter", async () => {
    const world = await start({}, { orderly: true, maxAttempts: 1 });
    await world.send(["a1", "a2"], () => ({ messageGroup: "a" }));
    await world.nack(await world.receive({ max: 1 }));
    expect(bodies(await world.receive())).toEqual(["a2"]);
    await world.walk(1_000);
    expect((await world.deadLetters()).deadLetters).toHaveLength(1);
  });
});

describe("a group", () => {
  it("begins where it is told to", async () => {
    const world = await start({}, { from: "latest" });
    await world.send(["before"]);
    expect(await world.receive()).toEqual([]);
    await world.send(["after"]);
    expect(bodies(await world.receive())).toEqual(["after"]);
    world.clock.pass(10_000);
    const at = world.clock.now();
    await world.send(["later"]);
    await world.broker.groups.ensure(world.io, "since", { from: { at } });
    expect(bodies(await world.receive({ group: "since" }))).toEqual(["later"]);
  });

  it("begins anew after a reset, and what was given out is void", async () => {
    const world = await start();
    await world.send(["a", "b"]);
    const got = await world.receive();
    const { topic } = world;
    const { groupOffsets, log } = world.broker;
    const to = "earliest" as const;
    const ifOffsets = new Map([[0, 1]]);
    const wrong = groupOffsets.reset(world.io, log, { group, topic, to, ifOffsets });
    expect(await refusalOf(wrong)).toMatchObject({ code: "condition_failed" });
    const { before, after } = await groupOffsets.reset(world.io, log, { group, topic, to });
    expect([[...before], [...after]]).toEqual([[[0, 0]], [[0, 0]]]);
    expect(await world.ack(got)).toEqual(["receipt_stale", "receipt_stale"]);
    const again = await world.receive();
    expect(bodies(again)).toEqual(["a", "b"]);
    expect(await world.ack(got)).toEqual(["receipt_stale", "receipt_stale"]);
    expect(await world.ack(again)).toEqual([]);
  });

  it("waits for 10 s, 30 s, 1 m ... 2 h, and stays at the last step", () => {
    const minute = 60_000;
    const expected = [
      10_000,
      30_000,
      ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 60, 120].map((m) => m * minute),
    ];
    const settings = { retryMs: expected };
    expect(Array.from({ length: 17 }, (_, step) => retryDelay(settings, step + 1))).toEqual([
      ...expected,
      120 * minute,
    ]);
  });
});

async function start(
  settings: { queues?: number } = {},
  groupSettings: Partial<GroupSettings> = {},
) {
  const clock = new VirtualClock();
  const io = memoryPorts(clock);
  const broker = new Broker(io);
  const { topic } = await broker.topics.ensure(io, "orders", { queues: 1, ...settings });
  if (Object.keys(groupSettings).length > 0) await broker.groups.ensure(io, group, groupSettings);
  return { ...worldOf(io, broker), io, broker, topic, other: () => worldOf(io, new Broker(io)) };
}

function worldOf(io: Ports & { readonly clock: VirtualClock }, broker: Broker) {
  const { clock } = io;
  return {
    clock,
    async send(texts: readonly string[], more: (index: number) => object = () => ({})) {
      const messages = texts.map((each, index) => ({
        body: new TextEncoder().encode(each),
        ...more(index),
      }));
      for (const result of await sendMessages(io, broker, { topic: "orders", messages }))
        if ("error" in result) throw result.error;
    },
    async receive(request: Partial<ReceiveRequest> = {}, ports: Ports = io) {
      const { messages } = await broker.receiving.receive(ports, {
        group,
        topic: "orders",
        max: 32,
        bytesMax: 1_048_576,
        invisibleMs: 30_000,
        waitMs: 0,
        ...request,
      });
      return messages;
    },
    /** The codes of what was refused. */
    async ack(messages: readonly Received[], of = group) {
      return codes(await acknowledge(io, broker, { group: of, handles: handles(messages) }));
    },
    async nack(
      messages: readonly Received[],
      options: { delayMs?: number; deadLetter?: boolean } = {},
    ) {
      return codes(await giveBack(io, broker, { group, handles: handles(messages), ...options }));
    },
    async extend(messages: readonly Received[], invisibleMs: number) {
      return codes(await extend(io, broker, { group, handles: handles(messages), invisibleMs }));
    },
    async offsets() {
      return await broker.groupOffsets.get(io, group, await broker.topics.get(io, "orders"));
    },
    deadLetters: () => listDeadLetters(io, broker, { group, max: 100, bytesMax: 1_048_576 }),
    /** Delivers delayed messages for so long. */
    async walk(ms: number) {
      const until = clock.now() + ms;
      await broker.walker.walk(io, until, {
        onError: (error) => {
          throw error;
        },
      });
    },
  };
}

function codes(settled: readonly ({ readonly code: string } | undefined)[]): string[] {
  return settled.flatMap((error) => (error === undefined ? [] : [error.code]));
}

function bodies(messages: readonly Received[]): string[] {
  return messages.map(({ stored }) => text(stored.message.body));
}

function handles(messages: readonly Received[]): string[] {
  return messages.map(({ receipt }) => receiptHandleOf(receipt));
}

function text(bytes: Uint8Array | undefined): string {
  return new TextDecoder().decode(bytes);
}
