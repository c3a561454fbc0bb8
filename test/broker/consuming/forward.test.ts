import { describe, expect, it } from "vitest";
import { randomFaults } from "../../../src/adapters/faulty/faults.ts";
import { Broker } from "../../../src/broker/broker.ts";
import { utf8 } from "../../../src/broker/bytes.ts";
import { type ForwardRequest, forward } from "../../../src/broker/consuming/forward.ts";
import { readMessages } from "../../../src/broker/consuming/read-messages.ts";
import { receiptHandleOf } from "../../../src/broker/consuming/receipt-handle.ts";
import { acknowledge, giveBack } from "../../../src/broker/consuming/settle-receipts.ts";
import { limits } from "../../../src/broker/limits.ts";
import type { StoredMessage } from "../../../src/broker/log/stored-messages.ts";
import type { Ports } from "../../../src/broker/ports/ports.ts";
import type { Store } from "../../../src/broker/ports/store.ts";
import { keys } from "../../../src/broker/schema.ts";
import type { OwnWrite } from "../../../src/broker/sending/own-rows.ts";
import { sendMessages } from "../../../src/broker/sending/send-messages.ts";
import { refusalOf } from "../../support/code-of.ts";
import { dyingAt } from "../../support/dying-store.ts";
import { behindFaults, memoryPorts } from "../../support/memory-ports.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const group = "approval";

describe("a forward", () => {
  it("acknowledges and sends over several topics at once, and answers a repetition alike, whoever is asked", async () => {
    const world = await start();
    const got = await world.received(["a", "b", "c"]);
    const messages = [
      { body: utf8("1"), messageGroup: "g" },
      { body: utf8("2"), queue: 3, messageId: "mine" },
      { body: utf8("3") },
    ];
    const sends = [
      { topic: "bank", messages },
      { topic: "audit", messages: [{ body: utf8("4"), delayMs: 60_000 }, { body: utf8("5") }] },
    ];
    const results = await world.forward({ handles: got, sends });
    expect(results).toHaveLength(5);
    expect(results[1]).toEqual({
      topic: "bank",
      messageId: "mine",
      queue: 3,
      offset: expect.any(Number),
    });
    expect(results[3]).toMatchObject({ topic: "audit", deliverAt: world.clock.now() + 60_000 });
    expect((await world.bodies("bank")).sort()).toEqual(["1", "2", "3"]);
    expect(await world.bodies("audit")).toEqual(["5"]);
    for (const each of [world, world.other()]) {
      world.clock.pass(40 * 60_000 - 1);
      expect(await each.forward({ handles: [...got].reverse(), sends })).toEqual(results);
    }
    await world.broker.sweep(world.io);
    expect((await world.bodies("audit")).sort()).toEqual(["4", "5"]);
    expect((await world.bodies("bank")).sort()).toEqual(["1", "2", "3"]);
    expect(await world.left()).toBe(0);
    // What nobody remembers is refused, not done again.
    world.clock.pass(limits.forwardKeptMs);
    expect(await refusalOf(world.forward({ handles: got, sends }))).toMatchObject({
      code: "receipt_stale",
    });
    const stored = await world.storedIds("bank");
    for (const { topic, messageId } of results)
      if (topic === "bank") expect(stored).toContain(messageId);
  });

  it("refuses something else under the same receipts, and nothing is changed by it", async () => {
    const world = await start();
    const got = await world.received(["a"]);
    const first = await world.forward({ handles: got, sends: to("bank", "1") });
    for (const sends of [to("bank", "2"), to("audit", "1"), to("bank", "1", "1")])
      expect(await refusalOf(world.forward({ handles: got, sends }))).toMatchObject({
        code: "idempotency_key_reused",
        field: "sends",
      });
    expect(await world.forward({ handles: got, sends: to("bank", "1") })).toEqual(first);
    expect(await world.bodies("bank")).toEqual(["1"]);
    expect(await world.bodies("audit")).toEqual([]);
  });

  it("is refused whole where one receipt is stale, and says which", async () => {
    const world = await start();
    const got = await world.received(["a", "b", "c"], 1_000);
    await acknowledge(world.io, world.broker, { group, handles: got.slice(1, 2) });
    const refused = { code: "receipt_stale", field: "receiptHandles[1]" };
    const sends = to("bank", "1");
    expect(await refusalOf(world.forward({ handles: got, sends }))).toMatchObject({
      ...refused,
      stale: ["receiptHandles[1]"],
    });
    // Given to somebody else since.
    world.clock.pass(1_001);
    const again = await world.receive();
    expect(again).toHaveLength(2);
    const [first, , third] = got as [string, string, string];
    expect(await refusalOf(world.forward({ handles: [first, third], sends }))).toMatchObject({
      code: "receipt_stale",
      stale: ["receiptHandles[0]", "receiptHandles[1]"],
    });
    expect(await world.bodies("bank")).toEqual([]);
    // Part of what was forwarded is no forward of its own.
    const both = await world.forward({ handles: again, sends });
    expect(await refusalOf(world.forward({ handles: again.slice(1), sends }))).toMatchObject({
      code: "receipt_stale",
    });
    expect(await world.forward({ handles: again, sends })).toEqual(both);
    expect(await world.bodies("bank")).toEqual(["1"]);
  });

  it("takes what was given back while nobody else has it, and no handle of another group", async () => {
    const world = await start();
    const got = await world.received(["a"]);
    await giveBack(world.io, world.broker, { group, handles: got, delayMs: 5_000 });
    const { id: topicId } = await world.broker.topics.get(world.io, "orders");
    const foreign = receiptHandleOf({ groupId: 99, topicId, place: 0, offset: 0, stamp: 1 });
    const sends = to("bank", "1");
    expect(await refusalOf(world.forward({ handles: [...got, foreign], sends }))).toMatchObject({
      code: "receipt_stale",
      field: "receiptHandles[1]",
    });
    await world.forward({ handles: got, sends });
    world.clock.pass(60_000);
    expect(await world.receive()).toEqual([]);
  });

  it("carries large messages, beside others, and for as long as their topic keeps them", async () => {
    const world = await start();
    const got = await world.received(["a"]);
    const large = "x".repeat(1_000_000);
    const messages = [
      { body: utf8(large), queue: 0 },
      { body: utf8(large), delayMs: 1_000 },
    ];
    const sends = [{ topic: "bank", messages }, ...to("audit", "1")];
    const results = await world.forward({ handles: got, sends });
    expect(await world.other().forward({ handles: got, sends })).toEqual(results);
    world.clock.pass(2_000);
    await world.broker.sweep(world.io);
    expect((await world.bodies("bank")).map(({ length }) => length)).toEqual([
      1_000_000, 1_000_000,
    ]);
  });

  it("keeps within what one commit takes, and half of it is never done", async () => {
    const world = await start({ queues: 64 });
    const got = await world.received(["a"]);
    const toQueues = (count: number, more: object = {}) => [
      {
        topic: "bank",
        messages: Array.from({ length: count }, (_, queue) => ({
          body: utf8("x"),
          queue,
          ...more,
        })),
      },
    ];
    for (const sends of [
      toQueues(41),
      toQueues(41, { delayMs: 60_000 }),
      [...toQueues(40), ...to("audit", "1")],
    ])
      expect(await refusalOf(world.forward({ handles: got, sends }))).toMatchObject({
        code: "invalid",
        field: "sends",
      });
    const rows = Array.from({ length: 20 }, (_, n) => row(`${n}`, "x"));
    expect(
      await refusalOf(world.forward({ handles: got, sends: toQueues(40), rows })),
    ).toMatchObject({ code: "invalid", field: "receiptHandles" });
    expect(await world.bodies("bank")).toEqual([]);
    await world.forward({ handles: got, sends: toQueues(40), rows: rows.slice(2) });
    expect(await world.bodies("bank")).toHaveLength(40);
    const bytes = await start({ queues: 64 }, { inlineBatchBytesMax: limits.inlineBatchBytesMax });
    const many = await bytes.received(["a"]);
    const big = toQueues(16, { body: utf8("x".repeat(200_000)) });
    expect(await refusalOf(bytes.forward({ handles: many, sends: big }))).toMatchObject({
      code: "batch_too_large",
      limit: limits.forwardBytesMax,
    });
    const fewer = toQueues(15, { body: utf8("x".repeat(200_000)) });
    expect(await bytes.forward({ handles: many, sends: fewer })).toHaveLength(15);
  });

  it("checks its messages as a send does, and names them", async () => {
    const world = await start();
    const handles = await world.received(["a"]);
    for (const [sends, code, field] of [
      [[{ topic: "nowhere", messages: [{ body: utf8("x") }] }], "topic_not_found", undefined],
      [
        [...to("bank", "1"), { topic: "audit", messages: [{ body: utf8("x"), queue: 9 }] }],
        "queue_not_found",
        "sends[1].messages[0].queue",
      ],
      [
        [{ topic: "bank", messages: [{ body: utf8("x"), tag: "a|b" }] }],
        "invalid",
        "sends[0].messages[0].tag",
      ],
    ] as const)
      expect(await refusalOf(world.forward({ handles, sends }))).toMatchObject({
        code,
        ...(field === undefined ? {} : { field }),
      });
    await world.broker.topics.change(world.io, "bank", { writable: false });
    const other = world.other();
    expect(await refusalOf(other.forward({ handles, sends: to("bank", "1") }))).toMatchObject({
      code: "topic_not_writable",
    });
    await other.forward({ handles, sends: to("audit", "1") });
  });

  it("lands once among others who append and receive in the same queues, in one process and in several", async () => {
    const world = await start({ queues: 2 });
    const others = [world, world.other(), world.other()];
    const handles = await world.received(Array.from({ length: 30 }, (_, n) => `${n}`));
    const messages = [0, 1].map((queue) => ({ body: utf8("forwarded"), queue }));
    await Promise.all([
      ...handles.flatMap((handle, n) =>
        // Each is tried by two at once.
        [n, n + 1].map((who) =>
          others[who % 3]?.forward({ handles: [handle], sends: [{ topic: "bank", messages }] }),
        ),
      ),
      ...Array.from({ length: 30 }, (_, n) =>
        sendMessages(world.io, (others[n % 3] as typeof world).broker, {
          topic: "bank",
          messages: [{ body: utf8("sent"), queue: n % 2 }],
        }),
      ),
    ]);
    const bodies = await world.bodies("bank");
    expect(bodies.filter((body) => body === "forwarded")).toHaveLength(60);
    expect(bodies.filter((body) => body === "sent")).toHaveLength(30);
    expect(await world.left()).toBe(0);
  });

  it("is told of an attempt that lands between the look at the note and that at the states", async () => {
    const world = await start();
    const handles = await world.received(["a"]);
    const sends = to("bank", "1");
    let first: unknown;
    const torn: Store = {
      ...bound(world.io.store),
      async get([note, ...rest]) {
        const before = await world.io.store.get(note === undefined ? [] : [note]);
        if (rest.length > 0 && first === undefined) first = await world.forward({ handles, sends });
        return [...before, ...(rest.length > 0 ? await world.io.store.get(rest) : [])];
      },
    };
    const other = { ...world.io, store: torn };
    const results = await forward(other, new Broker(other), { group, handles, sends });
    expect(first).toBeDefined();
    expect(results).toEqual(first);
    expect(await world.bodies("bank")).toEqual(["1"]);
  });

  it("puts rows of whoever embeds the broker along, and tells what they are where they are not as expected", async () => {
    const world = await start();
    const [a, b] = (await world.received(["a", "b"])) as [string, string];
    const expected = { ...row("1", "x"), expect: "absent" } as const;
    await world.forward({ handles: [a], sends: [], rows: [expected] });
    const [item] = await world.io.store.get([expected.key]);
    expect(item?.value).toEqual(utf8("x"));
    // Again: done, and no row is written.
    await world.forward({ handles: [a], sends: [], rows: [{ ...expected, value: utf8("y") }] });
    expect((await world.io.store.get([expected.key]))[0]).toEqual(item);
    const taken = world.forward({
      handles: [b],
      sends: to("bank", "1"),
      rows: [row("2", "y"), expected],
    });
    expect(await refusalOf(taken)).toEqual({
      code: "condition_failed",
      field: "rows[1].expect",
      failed: [{ row: 1, current: item?.version }],
    });
    expect(await world.bodies("bank")).toEqual([]);
    expect(await world.io.store.get([row("2", "").key])).toEqual([undefined]);
    // Whose receipt is stale is told that first.
    await acknowledge(world.io, world.other().broker, { group, handles: [b] });
    const stale = world.forward({ handles: [b], sends: [], rows: [expected] });
    expect(await refusalOf(stale)).toMatchObject({ code: "receipt_stale" });
  });

  it("takes 98 rows beside one queue that was received from", async () => {
    const world = await start();
    const handles = await world.received(["a"]);
    const rows = Array.from({ length: 98 }, (_, n) => row(`${n}`, "x"));
    await world.forward({ handles, sends: [], rows });
    expect(await world.io.store.get([row("97", "").key])).not.toEqual([undefined]);
    const more = [...rows, row("98", "x")];
    expect(await refusalOf(world.forward({ handles, sends: [], rows: more }))).toMatchObject({
      code: "invalid",
      field: "rows",
    });
  });

  it("is all or nothing and once, whoever dies at whichever call of the store, or is not told what became of it", async () => {
    const outcomes = new Map<string, number>();
    for (const how of ["before", "after", "unknown"] as const) {
      for (let call = 1; call <= 14; call++) {
        const world = await start();
        const [handle] = await world.received(["a"]);
        const asked = {
          handles: [handle as string],
          sends: [...to("bank", "1"), ...to("audit", "2")],
          rows: [row("1", "x")],
        };
        const dying = { ...world.io, store: dyingAt(world.io.store, call, how) };
        const request = { group, ...asked };
        const told = await Promise.race([
          forward(dying, new Broker(dying), request).then(
            () => "told",
            () => "failed",
          ),
          new Promise<string>((resolve) => setTimeout(() => resolve("dead"), 20)),
        ]);
        const seen = async () => [
          (await world.bodies("bank")).length,
          (await world.bodies("audit")).length,
          (await world.io.store.get([row("1", "").key]))[0] === undefined ? 0 : 1,
          1 - (await world.left()),
        ];
        const [count] = await seen();
        expect(await seen()).toEqual([count, count, count, count]);
        if (told === "told") expect(count).toBe(1);
        const name = `${told}, ${count === 1 ? "all" : "nothing"}`;
        outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
        const results = await world.other().forward(asked);
        expect(await world.forward(asked)).toEqual(results);
        expect(await seen()).toEqual([1, 1, 1, 1]);
      }
    }
    expect([...outcomes.keys()]).toEqual(expect.arrayContaining(["dead, all", "dead, nothing"]));
  });

  it("is all or nothing and once through a store whose calls fail, are lost and are not answered", async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const world = await start({ queues: 2 });
      const handles = await world.received(["a", "b", "c"]);
      const rates = { refuse: 0.1, failBefore: 0.1, failAfter: 0.15, duplicate: 0.05, delay: 0.1 };
      const plan = randomFaults({ random: seed, rates });
      const io = behindFaults(world.io, plan, seed);
      const broker = new Broker(io);
      await Promise.all(
        handles.map(async (handle) => {
          for (let attempt = 1; attempt <= 50; attempt++) {
            const sends = [...to("bank", handle), ...to("audit", handle)];
            const request = { group, handles: [handle], sends };
            if (
              await forward(io, broker, request).then(
                () => true,
                () => false,
              )
            )
              return;
          }
          throw new Error("it never went through");
        }),
      );
      expect((await world.bodies("bank")).sort()).toEqual([...handles].sort());
      expect((await world.bodies("audit")).sort()).toEqual([...handles].sort());
      expect(await world.left()).toBe(0);
    }
  });
});

function to(topic: string, ...texts: string[]) {
  return [{ topic, messages: texts.map((text) => ({ body: utf8(text) })) }];
}

function bound(store: Store): Store {
  return {
    get: (wanted) => store.get(wanted),
    scan: (range) => store.scan(range),
    commit: (writes, until) => store.commit(writes, until),
  };
}

function row(id: string, value: string): Extract<OwnWrite, { kind: "put" }> {
  return { kind: "put", key: keys.own("orders", utf8(id)), value: utf8(value) };
}

async function start({ queues = 4 } = {}, settings = {}) {
  const clock = new VirtualClock();
  const io = memoryPorts(clock);
  const broker = new Broker(io, settings);
  await broker.topics.ensure(io, "orders", { queues: 1 });
  for (const topic of ["bank", "audit"]) await broker.topics.ensure(io, topic, { queues });
  return { ...worldOf(io, broker), other: () => worldOf(io, new Broker(io, settings)) };
}

function worldOf(io: Ports & { readonly clock: VirtualClock }, broker: Broker) {
  const receive = async (invisibleMs = 3_600_000) => {
    const { messages } = await broker.receiving.receive(io, {
      ...{ group, topic: "orders", max: 128, bytesMax: 1_048_576, invisibleMs, waitMs: 0 },
    });
    return messages.map(({ receipt }) => receiptHandleOf(receipt));
  };
  /** Every message of a topic, as somebody else sees it. */
  const stored = async (name: string): Promise<StoredMessage[]> => {
    const fresh = new Broker(io);
    const topic = await fresh.topics.get(io, name);
    const all: StoredMessage[] = [];
    for (let queue = 0; queue < topic.queues; queue++) {
      const of = { topicId: topic.id, queue };
      const { max } = await fresh.log.range(io, of);
      for (let offset = 0; offset < max; ) {
        const wanted = { offset, messagesMax: 1_000, bytesMax: 8_000_000 };
        const { messages, end } = await readMessages(io, fresh.log, of, wanted);
        all.push(...messages);
        offset = end;
      }
    }
    return all;
  };
  return {
    ...{ io, broker, clock: io.clock, receive },
    /** The handles of messages that were sent and received. */
    async received(texts: readonly string[], invisibleMs?: number) {
      const messages = texts.map((text) => ({ body: utf8(text) }));
      await sendMessages(io, broker, { topic: "orders", messages });
      return await receive(invisibleMs);
    },
    forward: (request: Omit<ForwardRequest, "group">) => forward(io, broker, { group, ...request }),
    /** How many messages the group has still to acknowledge. */
    async left() {
      const fresh = new Broker(io);
      const topic = await fresh.topics.get(io, "orders");
      const { max } = await fresh.log.range(io, { topicId: topic.id, queue: 0 });
      return max - ((await fresh.groupOffsets.get(io, group, topic)).get(0) ?? 0);
    },
    async bodies(topic: string) {
      return (await stored(topic)).map(({ message }) => new TextDecoder().decode(message.body));
    },
    async storedIds(topic: string) {
      return (await stored(topic)).map(({ messageId }) => messageId);
    },
  };
}
