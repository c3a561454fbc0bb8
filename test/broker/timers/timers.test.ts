import { describe, expect, it } from "vitest";
import { Broker } from "../../../src/broker/broker.ts";
import { limits } from "../../../src/broker/limits.ts";
import { decodeBatch } from "../../../src/broker/log/batch.ts";
import { placedBatches } from "../../../src/broker/log/batch-row.ts";
import { metered, Usage } from "../../../src/broker/metering.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import type { Ports } from "../../../src/broker/ports/ports.ts";
import { keys, partitions, type QueueId } from "../../../src/broker/schema.ts";
import { type OutgoingMessage, sendMessages } from "../../../src/broker/sending/send-messages.ts";
import { alarmOfMinute } from "../../../src/broker/timers/minute-alarm.ts";
import { readRecallHandle } from "../../../src/broker/timers/recall-handle.ts";
import { minuteShardOfTimer } from "../../../src/broker/timers/timer.ts";
import { refusalOf } from "../../support/code-of.ts";
import { HookedStore } from "../../support/hooked-store.ts";
import { memoryPorts } from "../../support/memory-ports.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const minute = 60_000;

describe("a delayed message", () => {
  it("is delivered when it is due and not before, once, by whomever", async () => {
    const { io, broker, others, queue } = await world();
    const sent = await send(io, broker, [
      { delayMs: 5_000 },
      { deliverAt: io.clock.now() + 90_000 },
    ]);
    expect(sent).toMatchObject([
      { deliverAt: io.clock.now() + 5_000 },
      { deliverAt: io.clock.now() + 90_000 },
    ]);
    for (const [pass, count] of [
      [4_900, 0],
      [100, 1],
      [80_000, 1],
      [5_000, 2],
      [minute, 2],
    ] as const) {
      io.clock.pass(pass);
      await Promise.all([broker, ...others].map((each) => each.walker.deliverDue(io)));
      expect(await messagesIn(io, broker, queue)).toHaveLength(count);
    }
    expect((await messagesIn(io, broker, queue)).map(({ messageId }) => messageId)).toEqual(
      sent.map((result) => "messageId" in result && result.messageId),
    );
  });

  it("is walked to by a broker that sleeps until it is due", async () => {
    const { io, broker, queue } = await world();
    const lateness: number[] = [];
    broker.walker.delivery.onDelivered = (late) => lateness.push(late);
    await send(io, broker, [{ delayMs: 700 }, { delayMs: 1_500 }, { delayLevel: 2 }]);
    await broker.walker.walk(io, io.clock.now() + 10_000, { onError: rethrow });
    expect(await messagesIn(io, broker, queue)).toHaveLength(3);
    expect(Math.max(...lateness)).toBeLessThanOrEqual(1);
  });

  it("whose instant has passed is delivered at once", async () => {
    const { io, broker, queue } = await world();
    await send(io, broker, [{ deliverAt: io.clock.now() - minute }, { delayMs: 0 }]);
    await broker.walker.deliverDue(io);
    expect(await messagesIn(io, broker, queue)).toHaveLength(2);
  });

  it("waits once, however often its send is tried, and is not born again once it is delivered or recalled", async () => {
    const { io, broker, others, queue } = await world();
    const once = { batchId: io.random.bytes(16), firstAttemptAt: io.clock.now() };
    const first = await send(io, broker, [{ delayMs: 1_000 }], once);
    expect(await send(io, others[0] as Broker, [{ delayMs: 1_000 }], once)).toEqual(first);
    io.clock.pass(1_000);
    await broker.walker.deliverDue(io);
    for (const pass of [0, minute, 5 * minute]) {
      io.clock.pass(pass);
      expect(await send(io, new Broker(io), [{ delayMs: 1_000 }], once)).toEqual(first);
      for (const each of [broker, ...others]) await each.sweep(io);
    }
    expect(await messagesIn(io, broker, queue)).toHaveLength(1);

    const again = { batchId: io.random.bytes(16), firstAttemptAt: io.clock.now() };
    const [recalled] = await send(io, broker, [{ delayMs: 1_000 }], again);
    await broker.timers.recall(io, nameOf(recalled));
    io.clock.pass(5_000);
    await send(io, new Broker(io), [{ delayMs: 1_000 }], again);
    await broker.sweep(io);
    expect(await messagesIn(io, broker, queue)).toHaveLength(1);
    const [other] = await send(io, broker, [{ delayMs: 1_000, tag: "other" }], again);
    expect(other).toMatchObject({ error: { code: "idempotency_key_reused" } });
  });

  it("that is recalled is never delivered; one that was delivered is told where, for a day", async () => {
    const { io, broker, queue } = await world();
    const [one, two] = await send(io, broker, [{ delayMs: 1_000 }, { delayMs: 2_000 }]);
    for (let again = 0; again < 3; again++) await broker.timers.recall(io, nameOf(one));
    io.clock.pass(3_000);
    await broker.walker.deliverDue(io);
    expect(await messagesIn(io, broker, queue)).toHaveLength(1);
    await broker.timers.recall(io, nameOf(one));
    const late = { code: "recall_too_late", topic: "orders", queue: 0, offset: 0 };
    expect(await refusalOf(broker.timers.recall(io, nameOf(two)))).toMatchObject(late);
    io.clock.pass(limits.timerKeptMs - 10_000);
    expect(await refusalOf(new Broker(io).timers.recall(io, nameOf(two)))).toMatchObject(late);
    const never = { dueAt: io.clock.now(), id: io.random.bytes(20) };
    expect(await refusalOf(broker.timers.recall(io, never))).toMatchObject({
      code: "delayed_not_found",
    });
  });

  it("keeps the order of its group from when it is delivered", async () => {
    const { io, broker } = await world(4);
    const group = { messageGroup: "a" };
    await send(io, broker, [{ ...group, delayMs: 2_000 }, { ...group, delayMs: 1_000 }, group]);
    io.clock.pass(1_500);
    await broker.walker.deliverDue(io);
    io.clock.pass(1_500);
    await broker.walker.deliverDue(io);
    const { id } = await broker.topics.get(io, "orders");
    const found = [];
    for (let queue = 0; queue < 4; queue++)
      found.push(...(await messagesIn(io, broker, { topicId: id, queue })));
    expect(found.map(({ body }) => body[0])).toEqual([2, 1, 0]);
  });

  it("of a topic that is gone is dropped, also where another was made under the name", async () => {
    const { io, broker, queue } = await world();
    const [one] = await send(io, broker, [{ delayMs: 60_000 }]);
    await broker.deleteTopic(io, "orders", { force: true });
    const { topic } = await broker.topics.ensure(io, "orders", { queues: 1 });
    expect(topic.id).not.toBe(queue.topicId);
    io.clock.pass(minute);
    await broker.walker.deliverDue(io);
    expect(await messagesIn(io, broker, { topicId: topic.id, queue: 0 })).toEqual([]);
    expect(await refusalOf(broker.timers.recall(io, nameOf(one)))).toMatchObject({
      code: "recall_too_late",
    });
  });

  it("waits behind none that is damaged, which is told of once", async () => {
    const { io, broker, queue } = await world();
    const damages: string[] = [];
    broker.walker.delivery.onDamaged = ({ message }) => damages.push(message);
    const [one] = await send(io, broker, [{ delayMs: 1_000 }, { delayMs: 2_000 }]);
    const name = nameOf(one);
    const key = keys.timer(minuteShardOfTimer(name), name.dueAt, name.id);
    const [item] = await io.store.get([key]);
    const value = item?.value.map((byte, at) => (at === 20 ? byte ^ 1 : byte)) ?? new Uint8Array();
    await io.store.commit([{ kind: "put", key, value, version: "changed" }], io.clock.now() + 1);
    io.clock.pass(3_000);
    for (let again = 0; again < 3; again++) {
      await broker.walker.deliverDue(io);
      io.clock.pass(1_000);
    }
    expect(await messagesIn(io, broker, queue)).toHaveLength(1);
    expect(damages).toHaveLength(1);
  });

  it("may be large, and still be there when it is delivered a year later", async () => {
    const { io, broker, queue } = await world();
    const year = 365 * 24 * 60 * minute;
    await send(io, broker, [{ body: new Uint8Array(500_000).fill(7), delayMs: year }]);
    for (let month = 0; month < 12; month++) {
      io.clock.pass(year / 12);
      await broker.sweep(io);
    }
    const [message] = await messagesIn(io, broker, queue);
    expect(message?.body).toHaveLength(500_000);
  });

  it.each([
    [{ delayMs: 1, delayLevel: 1 }, "messages[0].delayLevel"],
    [{ deliverAt: Date.UTC(2100, 1, 1) }, "messages[0].deliverAt"],
    [{ delayMs: 367 * 24 * 60 * minute }, "messages[0].delayMs"],
    [{ delayLevel: 19 }, "messages[0].delayLevel"],
  ])("is refused as %j", async (delay, field) => {
    const { io, broker } = await world();
    expect(await refusalOf(send(io, broker, [delay]))).toMatchObject({ code: "invalid", field });
  });
});

describe("minutes with delayed messages", () => {
  it("are given up when nobody can write into them any more, and hold nothing then", async () => {
    const { io, broker } = await world();
    await send(io, broker, [{ delayMs: 1_000 }, { delayMs: 61_000 }, { delayMs: 7 * minute }]);
    for (let minutes = 0; minutes < 12; minutes++) {
      io.clock.pass(minute);
      await broker.sweep(io);
    }
    const { items } = await io.store.scan({ partition: partitions.minutes, limit: 100 });
    expect(items).toEqual([]);
  });

  it("are told in pages, by topic", async () => {
    const { io, broker } = await world();
    const delays = Array.from({ length: 25 }, (_, index) => ({ delayMs: 10_000 * (index + 1) }));
    await send(io, broker, delays);
    const found: number[] = [];
    let after: ReturnType<typeof nameOf> | undefined;
    do {
      const page = await broker.timers.list(io, { limit: 7, ...(after && { after }) });
      found.push(...page.waiting.map(({ dueAt }) => dueAt));
      after = page.next;
    } while (after !== undefined);
    const from = io.clock.now();
    expect(found.sort((a, b) => a - b)).toEqual(delays.map(({ delayMs }) => from + delayMs));
    const none = await broker.timers.list(io, { limit: 7, topicId: 99 });
    expect(none).toEqual({ waiting: [], next: undefined });
  });

  it("cost one write a message once a minute is known, and one alarm a shard", async () => {
    const { io, broker } = await world();
    const alarms: string[] = [];
    const alarm = { ...io.alarm, set: async (id: string) => void alarms.push(id) };
    const counted = { ...io, alarm };
    const at = io.clock.now() + 10 * minute;
    for (let number = 0; number < 200; number++)
      await send(counted, broker, [{ deliverAt: at + number }]);
    expect(alarms.length).toBeLessThanOrEqual(8);
    io.store.commits = 0;
    await send(counted, broker, [{ deliverAt: at }]);
    expect(io.store.commits).toBe(1);
  });

  it("that were passed over for a while are delivered whole, though some in front have to be tried again", async () => {
    const { io, broker, queue } = await world();
    await broker.topics.ensure(io, "others", { queues: 1 });
    const firstAttemptAt = io.clock.now();
    const delays = Array.from({ length: 600 }, () => ({ delayMs: 1_000 }));
    const gone = { batchId: new Uint8Array(16), firstAttemptAt };
    await send(io, broker, delays.slice(0, 10), gone, "others");
    // Behind them, in the same shard.
    for (const number of [1, 2]) {
      const batchId = Uint8Array.of(number, ...new Uint8Array(15));
      await send(io, broker, delays, { batchId, firstAttemptAt });
    }
    await broker.deleteTopic(io, "others", { force: true });
    io.clock.pass(20_000);
    const commit = io.store.commit.bind(io.store);
    let isLost = true;
    io.store.commit = async (writes, until) => {
      if (writes.length > 1 || !isLost) return commit(writes, until);
      isLost = false;
      return { outcome: "unknown" };
    };
    for (let again = 0; again < 3; again++) {
      await broker.walker.deliverDue(io);
      io.clock.pass(1_000);
    }
    expect(isLost).toBe(false);
    expect(await messagesIn(io, broker, queue)).toHaveLength(1_200);
  });

  it("are looked at from where something came late, also when the first look fails", async () => {
    const { io, broker, others, queue } = await world();
    await send(io, broker, [{ delayMs: 5_000 }], shardZero(io));
    io.clock.pass(10_000);
    await broker.walker.deliverDue(io);
    io.clock.pass(1_000);
    const behind = [{ deliverAt: io.clock.now() - 5_500 }];
    const [late] = await send(io, others[0] as Broker, behind, shardZero(io));
    broker.walker.rewind(minuteShardOfTimer(nameOf(late)));
    io.store.beforeCommit = async () => {
      throw new Unavailable("for a while");
    };
    await expect(broker.walker.deliverDue(io)).rejects.toThrow(Unavailable);
    io.store.beforeCommit = undefined;
    io.clock.pass(1_000);
    await broker.walker.deliverDue(io);
    expect(await messagesIn(io, broker, queue)).toHaveLength(2);
  });

  it("do not wait for each other: what is due in one is delivered while another is stuck", async () => {
    const { io, broker } = await world(2);
    const { id: topicId } = await broker.topics.get(io, "orders");
    const shardOne = { ...shardZero(io), batchId: new Uint8Array(16).fill(1) };
    await send(io, broker, [{ queue: 0, delayMs: 1_000 }], shardZero(io));
    await send(io, broker, [{ queue: 1, delayMs: 2_000 }], shardOne);
    const commit = io.store.commit.bind(io.store);
    io.store.commit = async (writes, until) => {
      const [first] = writes;
      const partition = partitions.batches({ topicId, queue: 0 }, { base: 0, part: 0 });
      if (first !== undefined && Buffer.compare(first.key.partition, partition) === 0)
        await io.clock.sleep(10_000);
      return commit(writes, until);
    };
    const lateness: number[] = [];
    broker.walker.delivery.onDelivered = (late) => lateness.push(late);
    await broker.walker.walk(io, io.clock.now() + 5_000, { onError: rethrow });
    expect(lateness[0]).toBeLessThan(10);
    // And whoever walks ends with all that he began.
    expect(lateness[1]).toBeGreaterThanOrEqual(10_000);
  });

  it("have their alarm set by the next that is sent, where it could not be set", async () => {
    const { io, broker } = await world();
    const alarms: string[] = [];
    const at = io.clock.now() + 10 * minute;
    const set = async (id: string) => {
      alarms.push(id);
      if (alarms.length === 1) throw new Unavailable("once");
    };
    const counted = { ...io, alarm: { ...io.alarm, set } };
    for (let number = 0; number < 4; number++)
      await send(counted, broker, [{ deliverAt: at + number }], shardZero(io));
    expect(alarms).toHaveLength(2);
  });

  it("have their alarm set by one of many brokers, and by another where that one died", async () => {
    const { io, broker, others } = await world();
    const alarms: string[] = [];
    const set = async (id: string) => void alarms.push(id);
    const counted = { ...io, alarm: { ...io.alarm, set } };
    const at = io.clock.now() + 10 * minute;
    const sendOne = (ports: Ports, by: Broker, deliverAt: number) =>
      send(ports, by, [{ deliverAt }], shardZero(io));
    for (const each of [broker, ...others, new Broker(io)]) await sendOne(counted, each, at);
    expect(alarms).toHaveLength(1);

    await new Promise<void>((dies) => {
      const dying = { ...io.alarm, set: () => new Promise<void>(() => dies()) };
      void sendOne({ ...io, alarm: dying }, new Broker(io), at + minute);
    });
    io.clock.pass(1_000);
    await sendOne(counted, others[0] as Broker, at + minute);
    expect(alarms).toHaveLength(1);
    io.clock.pass(10_000);
    for (let again = 0; again < 2; again++)
      await sendOne(counted, new Broker(io), at + minute + again);
    expect(alarms).toHaveLength(2);
  });

  it("are walked alone by whom their alarm wakes, to their end", async () => {
    const { io, broker, others, queue } = await world();
    const shardOne = { ...shardZero(io), batchId: new Uint8Array(16).fill(1) };
    const end = minute - (io.clock.now() % minute);
    await send(io, broker, [{ delayMs: 1_000 }, { delayMs: end - 1 }], shardZero(io));
    const [other] = await send(io, broker, [{ delayMs: 1_000 }], shardOne);
    const { minute: begun } = minuteShardOfTimer(nameOf(other));
    const options = { until: io.clock.now() + 2 * minute, onError: rethrow };
    const [woken] = others as [Broker];
    await woken.ring(io, alarmOfMinute({ minute: begun, shard: 0 }), options);
    expect(await messagesIn(io, broker, queue)).toHaveLength(2);
    expect(io.clock.now() % minute).toBe(500);
    await woken.ring(io, alarmOfMinute({ minute: begun, shard: 1 }), options);
    await woken.sweep(io);
    expect(await messagesIn(io, broker, queue)).toHaveLength(3);
  });

  it("that were over long before are walked by whom an alarm wakes for them", async () => {
    const { io, broker, others, queue } = await world();
    const [sent] = await send(io, broker, [{ deliverAt: 1_000 }]);
    const alarm = alarmOfMinute(minuteShardOfTimer(nameOf(sent)));
    const options = { until: io.clock.now() + 2 * minute, onError: rethrow };
    await (others[0] as Broker).ring(io, alarm, options);
    expect(await messagesIn(io, broker, queue)).toHaveLength(1);
  });

  it("ask for few alarms however many are sent when they are due already", async () => {
    const { io, broker } = await world();
    let alarms = 0;
    const alarm = { ...io.alarm, set: async () => void alarms++ };
    const counted = { ...io, alarm };
    for (let number = 0; number < 400; number++) {
      await send(counted, broker, [{ delayMs: 0 }]);
      io.clock.pass(5);
    }
    // 8 shards, 2 seconds, and what the first of a shard asks for.
    expect(alarms).toBeLessThanOrEqual(8 * 3);
  });

  it("cost so many units to send and to deliver", async () => {
    const { io, broker } = await world();
    const at = io.clock.now() + 10 * minute;
    const message = { body: new Uint8Array(300), deliverAt: at };
    const writeUnits = async (work: (own: Ports) => Promise<unknown>) => {
      const usage = new Usage();
      await work(metered(io, usage));
      return usage.writeUnits;
    };
    const table = {
      "send, the minute unknown": await writeUnits((own) =>
        send(own, broker, [message], shardZero(io)),
      ),
      send: await writeUnits((own) =>
        send(own, broker, [{ ...message, deliverAt: at + minute / 2 }], shardZero(io)),
      ),
      "deliver one": await writeUnits(async (own) => {
        io.clock.pass(10 * minute);
        // The segment is opened by what is sent at once.
        await send(io, broker, [{}]);
        await broker.walker.deliverDue(own);
      }),
      "deliver 97 at once": await writeUnits(async (own) => {
        const many = Array.from({ length: 96 }, () => ({
          ...message,
          deliverAt: at + minute / 2 + 1,
        }));
        await send(io, broker, many, shardZero(io));
        io.clock.pass(minute);
        await broker.walker.deliverDue(own);
      }),
    };
    expect(table).toEqual({
      "send, the minute unknown": 5,
      send: 1,
      "deliver one": 6,
      "deliver 97 at once": 270,
    });
  });

  it("are delivered in few commits when many messages are due at once", async () => {
    const { io, broker, queue } = await world();
    const at = io.clock.now() + 10 * minute;
    for (let number = 0; number < 20; number++)
      await send(
        io,
        broker,
        Array.from({ length: 50 }, () => ({ deliverAt: at })),
      );
    io.clock.pass(10 * minute);
    io.store.commits = 0;
    await broker.walker.deliverDue(io);
    expect(await messagesIn(io, broker, queue)).toHaveLength(1_000);
    expect(io.store.commits).toBeLessThan(30);
  });
});

/** Of batches that all have their timers in one shard. */
function shardZero(io: Ports) {
  const batchId = Uint8Array.of(...io.random.bytes(15), 0);
  return { batchId, firstAttemptAt: io.clock.now() };
}

async function world(queues = 1) {
  const plain = memoryPorts(new VirtualClock());
  const io = { ...plain, store: new HookedStore(plain.store) };
  const broker = new Broker(io);
  const { topic } = await broker.topics.ensure(io, "orders", { queues });
  const queue: QueueId = { topicId: topic.id, queue: 0 };
  return { io, broker, others: [new Broker(io), new Broker(io)], queue };
}

function send(
  io: Ports,
  broker: Broker,
  messages: readonly Partial<OutgoingMessage>[],
  once: { batchId?: Uint8Array; firstAttemptAt?: number } = {},
  topic = "orders",
) {
  const outgoing = messages.map((message, index) => ({ body: Uint8Array.of(index), ...message }));
  return sendMessages(io, broker, { topic, messages: outgoing, ...once });
}

function nameOf(result: Awaited<ReturnType<typeof send>>[number] | undefined) {
  if (result === undefined || !("recallHandle" in result)) throw new Error("it does not wait");
  return readRecallHandle(result.recallHandle);
}

async function messagesIn(io: Ports, broker: Broker, queue: QueueId) {
  const { min } = await broker.log.range(io, queue);
  const options = { messagesMax: 10_000, bytesMax: 100_000_000, waitMs: 0 };
  const { rows } = await broker.log.read(io, queue, min, options);
  const batches = rows.flatMap(placedBatches);
  const messages = await Promise.all(
    batches.map(({ batch }) => decodeBatch(batch, io.compression)),
  );
  return messages.flat();
}

function rethrow(error: unknown): never {
  throw error;
}
