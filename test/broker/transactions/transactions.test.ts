import { describe, expect, it } from "vitest";
import { MemoryBlobs } from "../../../src/adapters/memory/memory-blobs.ts";
import { Broker } from "../../../src/broker/broker.ts";
import { limits } from "../../../src/broker/limits.ts";
import { decodeBatch } from "../../../src/broker/log/batch.ts";
import { placedBatches } from "../../../src/broker/log/batch-row.ts";
import { metered, Usage } from "../../../src/broker/metering.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import type { Ports } from "../../../src/broker/ports/ports.ts";
import { partitions, type QueueId } from "../../../src/broker/schema.ts";
import type { OutgoingMessage } from "../../../src/broker/sending/outgoing-message.ts";
import { sendMessages } from "../../../src/broker/sending/send-messages.ts";
import { listTransactions } from "../../../src/broker/transactions/transaction-list.ts";
import type { PrepareRequest } from "../../../src/broker/transactions/transactions.ts";
import { refusalOf } from "../../support/code-of.ts";
import { HookedStore } from "../../support/hooked-store.ts";
import { memoryPorts } from "../../support/memory-ports.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const second = 1_000;
const minute = 60 * second;
const day = 24 * 60 * minute;

describe("a transaction", () => {
  it("is seen by nobody before its commit, and once after it, at the place that is answered again and again", async () => {
    const { io, broker, others, queue } = await world();
    const { id } = await prepare(io, broker);
    expect(await messagesIn(io, broker, queue)).toEqual([]);
    const first = await broker.transactions.commit(io, id);
    expect(first).toMatchObject({ state: "COMMITTED", topic: "orders", queue: 0, offset: 0 });
    await send(io, broker);
    io.clock.pass(day);
    for (const each of [broker, ...others, new Broker(io)]) {
      expect(await each.transactions.commit(io, id)).toEqual(first);
      expect(await refusalOf(each.transactions.rollback(io, id))).toMatchObject({
        code: "transaction_ended",
        state: "COMMITTED",
        topic: "orders",
        queue: 0,
        offset: 0,
      });
    }
    // That of the send is the other one.
    expect(await messagesIn(io, broker, queue)).toHaveLength(2);
  });

  it("that is rolled back is never seen, however often it is told to be committed", async () => {
    const { io, broker, others, queue } = await world();
    const { id } = await prepare(io, broker);
    for (const each of [broker, ...others])
      expect(await each.transactions.rollback(io, id)).toMatchObject({
        state: "ROLLED_BACK",
      });
    const ended = { code: "transaction_ended", state: "ROLLED_BACK" };
    for (const each of [broker, ...others])
      expect(await refusalOf(each.transactions.commit(io, id))).toMatchObject(ended);
    expect(await messagesIn(io, broker, queue)).toEqual([]);
  });

  it("has one outcome, whoever ends it at the same time, in one process or in several", async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const { io, broker, others, queue } = await world({ seed });
      const { id } = await prepare(io, broker);
      const asked = Array.from({ length: 10 }, (_, index) => {
        const each = [broker, ...others][(index + seed) % 3] as Broker;
        const { transactions } = each;
        return index % 2 === 0 ? transactions.commit(io, id) : transactions.rollback(io, id);
      });
      const told = await Promise.allSettled(asked);
      const { state } = await broker.transactions.look(io, id);
      told.forEach((each, index) => {
        const wanted = index % 2 === 0 ? "COMMITTED" : "ROLLED_BACK";
        if (wanted === state) expect(each).toMatchObject({ value: { state } });
        else expect(each).toMatchObject({ reason: { code: "transaction_ended" } });
      });
      const visible = state === "COMMITTED" ? 1 : 0;
      expect(await messagesIn(io, broker, queue)).toHaveLength(visible);
    }
  });

  it("is one, however often it is prepared, by batch id or by message id, whatever became of it", async () => {
    const { io, broker, others, queue } = await world();
    const once = { batchId: io.random.bytes(16), firstAttemptAt: io.clock.now() };
    const { id } = await prepare(io, broker, once);
    io.clock.pass(second);
    expect((await prepare(io, others[0] as Broker, once)).id).toEqual(id);
    await broker.transactions.commit(io, id);
    expect((await prepare(io, new Broker(io), once)).transaction.state).toBe("COMMITTED");

    const mine = { message: { messageId: "order-17" } };
    const named = await prepare(io, broker, mine);
    io.clock.pass(minute);
    expect(await prepare(io, others[0] as Broker, mine)).toEqual(named);
    await broker.transactions.rollback(io, named.id);
    expect((await prepare(io, others[1] as Broker, mine)).transaction.state).toBe("ROLLED_BACK");
    expect(await messagesIn(io, broker, queue)).toHaveLength(1);

    for (const other of [
      { ...once, message: { tag: "other" } },
      { ...once, message: { delayMs: 1_000 } },
      { ...once, producerGroup: "others" },
      { message: { messageId: "order-17", tag: "other" } },
    ]) {
      expect(await refusalOf(prepare(io, broker, other))).toMatchObject({
        code: "idempotency_key_reused",
      });
    }
    const elsewhere = { ...mine, producerGroup: "others" };
    expect((await prepare(io, broker, elsewhere)).id).not.toEqual(named.id);
  });

  it("keeps a body that is too large for a row until it is committed, days later", async () => {
    const { io, broker, queue } = await world();
    const body = new Uint8Array(1_000_000).fill(7);
    const once = { batchId: io.random.bytes(16), firstAttemptAt: io.clock.now() };
    const { id } = await prepare(io, broker, { ...once, message: { body } });
    await prepare(io, broker, { ...once, message: { body } });
    expect((await io.blobs.list("large/", { limit: 10 })).blobs).toHaveLength(1);
    for (let days = 0; days < 4; days++) {
      io.clock.pass(day);
      await sweeps(io, broker);
    }
    expect(await broker.transactions.look(io, id)).toMatchObject({
      state: "DISCARDED",
    });
    await broker.transactions.revive(io, id);
    await broker.transactions.commit(io, id);
    const { rows } = await broker.log.read(io, queue, 0, {
      messagesMax: 1,
      bytesMax: 4_000_000,
      waitMs: 0,
    });
    const [placed] = rows.flatMap(placedBatches);
    const [message] = placed ? await decodeBatch(placed.batch, io.compression) : [];
    expect(message?.body).toEqual(body);
  });

  it("of a topic that is gone cannot be committed, and ends all the same", async () => {
    const { io, broker } = await world();
    const [one, two] = [await prepare(io, broker), await prepare(io, broker)];
    await broker.deleteTopic(io, "orders", { force: true });
    await broker.topics.ensure(io, "orders", { queues: 1 });
    for (const each of [broker, new Broker(io)])
      expect(await refusalOf(each.transactions.commit(io, one.id))).toMatchObject({
        code: "topic_not_found",
      });
    expect(await broker.transactions.rollback(io, two.id)).toMatchObject({
      state: "ROLLED_BACK",
    });
  });

  it("is forgotten a week after it ended", async () => {
    const { io, broker } = await world();
    const { id } = await prepare(io, broker);
    await broker.transactions.commit(io, id);
    io.clock.pass(limits.transactionKeptMs - second);
    expect((await broker.transactions.look(io, id)).state).toBe("COMMITTED");
    io.clock.pass(2 * second);
    expect(await refusalOf(broker.transactions.commit(io, id))).toMatchObject({
      code: "transaction_not_found",
    });
  });

  it("is told as unknown where nobody knows, and then again, with one outcome", async () => {
    const { io, broker, queue } = await world();
    const { id } = await prepare(io, broker);
    const commit = io.store.commit.bind(io.store);
    io.store.commit = async (writes, until) => {
      await commit(writes, until);
      return { outcome: "unknown" };
    };
    expect(await refusalOf(broker.transactions.commit(io, id))).toMatchObject({
      code: "outcome_unknown",
    });
    io.store.commit = commit;
    expect(await broker.transactions.commit(io, id)).toMatchObject({ offset: 0 });
    expect(await messagesIn(io, broker, queue)).toHaveLength(1);
  });
});

describe("transactional, delayed and ordered in one message", () => {
  it("waits from its commit on, and comes behind what was sent to its group before it was due", async () => {
    const { io, broker, others } = await world({ queues: 4 });
    const messageGroup = "customer-7";
    const transactional = await prepare(io, broker, {
      message: { messageGroup, delayMs: 10 * second, tag: "delayed" },
    });
    io.clock.pass(4 * second);
    const committedAt = io.clock.now();
    const first = await broker.transactions.commit(io, transactional.id);
    const deliverAt = committedAt + 10 * second;
    expect(first).toMatchObject({ state: "COMMITTED", deliverAt });
    io.clock.pass(second);
    for (const each of others)
      expect(await each.transactions.commit(io, transactional.id)).toEqual(first);
    await send(io, broker, { messageGroup, tag: "at once" });
    io.clock.pass(8 * second);
    await broker.walker.deliverDue(io);
    const { id: topicId } = await broker.topics.get(io, "orders");
    const queue = { topicId, queue: first.queue };
    const tags = async () => (await messagesIn(io, broker, queue)).map(({ tag }) => tag);
    expect(await tags()).toEqual(["at once"]);
    io.clock.pass(2 * second);
    await Promise.all([broker, ...others].map((each) => each.walker.deliverDue(io)));
    await send(io, broker, { messageGroup, tag: "later" });
    expect(await tags()).toEqual(["at once", "delayed", "later"]);
    const [, delivered] = await messagesIn(io, broker, queue);
    expect(delivered).toMatchObject({ messageId: first.messageId, messageGroup });
    expect(await broker.transactions.commit(io, transactional.id)).toEqual(first);
  });

  it("is delivered at its instant, or at once where that has passed at the commit", async () => {
    const { io, broker, queue } = await world();
    const deliverAt = io.clock.now() + 5 * second;
    const [early, late] = [
      await prepare(io, broker, { message: { deliverAt } }),
      await prepare(io, broker, { message: { deliverAt } }),
    ];
    expect(await broker.transactions.commit(io, early.id)).toMatchObject({
      deliverAt,
    });
    io.clock.pass(5 * second);
    expect(await broker.transactions.commit(io, late.id)).toMatchObject({ offset: 0 });
    await broker.walker.deliverDue(io);
    expect(await messagesIn(io, broker, queue)).toHaveLength(2);
  });

  it("is one timer, whoever commits it at the same time", async () => {
    const { io, broker, others, queue } = await world();
    const { id } = await prepare(io, broker, { message: { delayMs: second } });
    const told = await Promise.all(
      [broker, ...others, broker].map((each) => each.transactions.commit(io, id)),
    );
    for (const each of told) expect(each).toEqual(told[0]);
    io.clock.pass(minute);
    await broker.walker.deliverDue(io);
    expect(await messagesIn(io, broker, queue)).toHaveLength(1);
  });

  it("never waits once it is rolled back", async () => {
    const { io, broker, queue } = await world();
    const { id } = await prepare(io, broker, { message: { delayMs: second, messageGroup: "g" } });
    await broker.transactions.rollback(io, id);
    io.clock.pass(minute);
    await broker.sweep(io);
    expect(await messagesIn(io, broker, queue)).toEqual([]);
  });
});

describe("a check", () => {
  it("is due after 6 s and then every 30, belongs to one caller, and ends after 15", async () => {
    const { io, broker, others } = await world();
    const { id } = await prepare(io, broker);
    io.clock.pass(5_900);
    expect(await take(io, broker)).toEqual([]);
    io.clock.pass(100);
    for (let check = 1; check <= 15; check++) {
      const taken = await Promise.all([broker, ...others].map((each) => take(io, each)));
      expect(taken.flat()).toMatchObject([{ id, check, transaction: { topic: "orders" } }]);
      io.clock.pass(29_900);
      expect(await take(io, broker)).toEqual([]);
      io.clock.pass(100);
    }
    expect(await take(io, broker)).toEqual([]);
    expect(await broker.transactions.look(io, id)).toMatchObject({
      state: "DISCARDED",
    });
    const ended = { code: "transaction_ended", state: "DISCARDED" };
    expect(await refusalOf(broker.transactions.commit(io, id))).toMatchObject(ended);
    expect(await refusalOf(broker.transactions.rollback(io, id))).toMatchObject(ended);
  });

  // A rejection that nobody waited for yet ended the process (found by the simulator).
  it("fails for whoever asked, and harms nobody else, where it is not stored while others are discarded", async () => {
    const { io, broker } = await world();
    await broker.producerGroups.change(io, "shop", { checksMax: 1 });
    for (let half = 0; half < 8; half++) await prepare(io, broker);
    io.clock.pass(10 * second);
    await take(io, broker);
    for (let half = 0; half < 8; half++) await prepare(io, broker);
    io.clock.pass(minute);
    const store = new HookedStore(io.store);
    store.beforeCommit = async ([first, ...more]) => {
      if (first?.kind === "delete" && more.length === 1) throw new Unavailable("not stored");
      await new Promise((resolve) => setTimeout(resolve, 2));
    };
    await expect(take({ ...io, store }, broker)).rejects.toThrow(Unavailable);
    expect(await take(io, broker)).toHaveLength(8);
  });

  it("is not made where a transaction ended, before or after somebody was asked", async () => {
    const { io, broker } = await world();
    const [one, two] = [await prepare(io, broker), await prepare(io, broker)];
    await broker.transactions.commit(io, one.id);
    io.clock.pass(10 * second);
    expect(await take(io, broker)).toMatchObject([{ id: two.id }]);
    await broker.transactions.rollback(io, two.id);
    io.clock.pass(minute);
    expect(await take(io, broker)).toEqual([]);
    await sweeps(io, broker);
    expect(await leftOvers(io)).toEqual([]);
  });

  it("waits for its group, which is not asked for that long; a half of three days is given up", async () => {
    const { io, broker } = await world();
    const { id } = await prepare(io, broker);
    for (let hours = 0; hours < 60; hours++) {
      io.clock.pass(60 * minute);
      await sweeps(io, broker);
    }
    expect(await take(io, broker)).toMatchObject([{ id, check: 1 }]);
    io.clock.pass(12 * 60 * minute);
    await sweeps(io, broker);
    expect(await broker.transactions.look(io, id)).toMatchObject({
      state: "DISCARDED",
    });
    await sweeps(io, broker);
    expect(await leftOvers(io)).toEqual([]);
  });

  it("is made again for one that was revived, from the first", async () => {
    const { io, broker } = await world();
    await broker.producerGroups.change(io, "shop", {
      checksMax: 2,
      checkEveryMs: second,
    });
    const { id } = await prepare(io, broker);
    for (let again = 0; again < 3; again++) {
      io.clock.pass(10 * second);
      await take(io, broker);
    }
    expect((await broker.transactions.look(io, id)).state).toBe("DISCARDED");
    io.clock.pass(6 * day);
    await sweeps(io, broker);
    await broker.transactions.revive(io, id);
    await broker.transactions.revive(io, id);
    await sweeps(io, broker);
    expect(await take(io, broker)).toMatchObject([{ id, check: 1 }]);
    expect(await broker.transactions.commit(io, id)).toMatchObject({ offset: 0 });
    expect(await refusalOf(broker.transactions.revive(io, id))).toMatchObject({
      code: "transaction_ended",
    });
    io.clock.pass(minute);
    await sweeps(io, broker, 11 * minute);
    expect(await leftOvers(io)).toEqual([]);
  });

  it("is discarded by a sweep where those who were asked are gone", async () => {
    const { io, broker } = await world();
    await broker.producerGroups.change(io, "shop", {
      checksMax: 1,
      checkEveryMs: second,
    });
    const all = [];
    for (let number = 0; number < 250; number++) all.push(await prepare(io, broker));
    io.clock.pass(10 * second);
    let asked = 0;
    while (asked < 250) asked += (await take(io, broker)).length;
    io.clock.pass(10 * minute);
    await sweeps(io, new Broker(io));
    for (const { id } of all)
      expect((await broker.transactions.look(io, id)).state).toBe("DISCARDED");
    await sweeps(io, broker);
    expect(await leftOvers(io)).toEqual([]);
  });

  it("comes to a long poll when it is due", async () => {
    const { io, broker } = await world();
    const { id } = await prepare(io, broker);
    const began = io.clock.now();
    const taken = await broker.checks.take(io, "shop", {
      max: 1,
      waitMs: 20 * second,
      isOver: () => false,
    });
    expect(taken).toMatchObject([{ id }]);
    expect(io.clock.now() - began).toBeGreaterThanOrEqual(6 * second);
    expect(io.clock.now() - began).toBeLessThan(7 * second);
  });

  it("is for its own group", async () => {
    const { io, broker } = await world();
    await prepare(io, broker);
    io.clock.pass(minute);
    expect(await take(io, broker, "shop2")).toEqual([]);
    expect(await take(io, broker, "sho")).toEqual([]);
    expect(await take(io, broker)).toHaveLength(1);
  });
});

describe("transactions", () => {
  it("are listed in pages, each once, by state and group", async () => {
    const { io, broker } = await world();
    const all = [];
    for (let number = 0; number < 60; number++)
      all.push(await prepare(io, broker, { producerGroup: number < 50 ? "shop" : "others" }));
    for (const { id } of all.slice(0, 10)) await broker.transactions.commit(io, id);
    const names = async (request: object) => {
      const found: string[] = [];
      let from: Uint8Array | undefined;
      do {
        const page = await listTransactions(io, {
          ...request,
          limit: 7,
          ...(from === undefined ? {} : { from }),
        });
        expect(page.found.length).toBeLessThanOrEqual(7);
        found.push(...page.found.map(({ id }) => Buffer.from(id).toString("hex")));
        from = page.next;
      } while (from !== undefined);
      expect(new Set(found).size).toBe(found.length);
      return found.length;
    };
    expect(await names({})).toBe(60);
    expect(await names({ state: "COMMITTED" })).toBe(10);
    expect(await names({ state: "PREPARED", producerGroup: "shop" })).toBe(40);
    expect(await names({ state: "DISCARDED" })).toBe(0);
  });

  it("cost so many write units", async () => {
    const { io, broker } = await world();
    const units = async (act: (own: Ports) => Promise<unknown>) => {
      const usage = new Usage();
      await act(metered(io, usage));
      return usage.writeUnits;
    };
    const body = { message: { body: new Uint8Array(300) } };
    await prepare(io, broker, body).then(({ id }) => broker.transactions.commit(io, id));
    const [one, two] = [await prepare(io, broker, body), await prepare(io, broker, body)];
    const asked = await prepare(io, broker, { ...body, checkAfterMs: second });
    await prepare(io, broker, { message: { delayMs: minute } }).then(({ id }) =>
      broker.transactions.commit(io, id),
    );
    const table = {
      prepare: await units((own) => prepare(own, broker, body)),
      commit: await units((own) => broker.transactions.commit(own, one.id)),
      "commit again": await units((own) => broker.transactions.commit(own, one.id)),
      rollback: await units((own) => broker.transactions.rollback(own, two.id)),
      check: await units(async (own) => {
        io.clock.pass(2 * second);
        expect(await take(own, broker)).toMatchObject([{ id: asked.id }]);
      }),
      "look for checks": await units((own) => take(own, broker)),
    };
    expect(table).toEqual({
      prepare: 4,
      commit: 8,
      "commit again": 0,
      rollback: 4,
      check: 4,
      "look for checks": 0,
    });
  });
});

async function world({ queues = 1, seed = 1 } = {}) {
  const plain = memoryPorts(new VirtualClock(), { seed });
  const io = { ...plain, store: new HookedStore(plain.store), blobs: new MemoryBlobs() };
  const broker = new Broker(io);
  const { topic } = await broker.topics.ensure(io, "orders", { queues });
  const queue: QueueId = { topicId: topic.id, queue: 0 };
  return { io, broker, others: [new Broker(io), new Broker(io)], queue };
}

type Given = Partial<Omit<PrepareRequest, "message">> & {
  readonly message?: Partial<OutgoingMessage>;
};

function prepare(io: Ports, broker: Broker, given: Given = {}) {
  return broker.transactions.prepare(io, {
    topic: "orders",
    producerGroup: "shop",
    ...given,
    message: { body: Uint8Array.of(1), ...given.message },
  });
}

function send(io: Ports, broker: Broker, message: Partial<OutgoingMessage> = { queue: 0 }) {
  const messages = [{ body: Uint8Array.of(2), ...message }];
  return sendMessages(io, broker, { topic: "orders", messages });
}

function take(io: Ports, broker: Broker, group = "shop") {
  return broker.checks.take(io, group, { max: 32, waitMs: 0, isOver: () => false });
}

/** As often as work comes again by itself. */
async function sweeps(
  io: Ports & { readonly clock: VirtualClock },
  broker: Broker,
  everyMs = 2 * minute,
): Promise<void> {
  for (let again = 0; again < 3; again++) {
    await broker.sweep(io);
    io.clock.pass(everyMs);
  }
}

/** Check entries, and work of checks. */
async function leftOvers(io: Ports): Promise<string[]> {
  const left: string[] = [];
  for (let shard = 0; shard < 4; shard++) {
    const partition = partitions.checks(shard, "shop");
    const { items } = await io.store.scan({ partition, limit: 1_000 });
    left.push(...items.map(() => "a check entry"));
  }
  const { items } = await io.store.scan({ partition: partitions.work, limit: 1_000 });
  for (const { value } of items) {
    const text = new TextDecoder().decode(value);
    if (text.includes("check-back")) left.push(text);
  }
  return left;
}

async function messagesIn(io: Ports, broker: Broker, queue: QueueId) {
  const options = { messagesMax: 10_000, bytesMax: 100_000_000, waitMs: 0 };
  const { rows } = await broker.log.read(io, queue, 0, options);
  const batches = rows.flatMap(placedBatches);
  const messages = await Promise.all(
    batches.map(({ batch }) => decodeBatch(batch, io.compression)),
  );
  return messages.flat();
}
