import { describe, expect, it } from "vitest";
import { LmdbStore } from "../../../src/adapters/local/lmdb-store.ts";
import { Broker } from "../../../src/broker/broker.ts";
import { utf8 } from "../../../src/broker/bytes.ts";
import { limits } from "../../../src/broker/limits.ts";
import type { Ports } from "../../../src/broker/ports/ports.ts";
import type { Store } from "../../../src/broker/ports/store.ts";
import { keys, partitions } from "../../../src/broker/schema.ts";
import type { OwnWrite } from "../../../src/broker/sending/own-rows.ts";
import {
  type SendWithRowsRequest,
  sendWithRows,
} from "../../../src/broker/sending/send-with-rows.ts";
import { makeTemporaryFolder } from "../../adapters/local/temporary-folder.ts";
import { refusalOf } from "../../support/code-of.ts";
import { dyingAt } from "../../support/dying-store.ts";
import { memoryPorts } from "../../support/memory-ports.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

describe("a message and rows of whoever embeds the broker", () => {
  it("are stored together, and conditions that fail are told row by row", async () => {
    const { io, broker } = await world();
    const put = order("17", "new");
    expect(await send(io, broker, [{ ...put, expect: "absent" }])).toMatchObject({ offset: 0 });
    const [item] = await io.store.get([put.key]);
    expect(item?.value).toEqual(utf8("new"));
    const again = [order("18", "x"), { ...put, expect: "absent" } as const];
    expect(await refusalOf(send(io, broker, again))).toEqual({
      code: "condition_failed",
      field: "rows[1].expect",
      failed: [{ row: 1, current: item?.version }],
    });
    expect(await io.store.get([order("18", "").key])).toEqual([undefined]);
    expect(await end(io, broker)).toBe(1);
    const version = { version: item?.version ?? "" };
    await send(io, broker, [{ kind: "delete", key: put.key, expect: version }]);
    const check = { kind: "check", key: put.key, expect: version } as const;
    expect(await refusalOf(send(io, broker, [check]))).toMatchObject({
      failed: [{ row: 0, current: "absent" }],
    });
    expect(await end(io, broker)).toBe(2);
  });

  it("are not refused because others append at the same time, in one process or in several", async () => {
    const { io, broker } = await world();
    const brokers = [broker, new Broker(io), new Broker(io)];
    await Promise.all(
      Array.from({ length: 60 }, (_, number) =>
        send(io, brokers[number % 3] as Broker, [{ ...order(`${number}`, "x"), expect: "absent" }]),
      ),
    );
    expect(await end(io, broker)).toBe(60);
    // One row, wanted by all at once.
    const told = await Promise.allSettled(
      Array.from({ length: 12 }, (_, number) =>
        send(io, brokers[number % 3] as Broker, [{ ...order("one", "x"), expect: "absent" }]),
      ),
    );
    expect(told.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const each of told)
      if (each.status === "rejected") expect(each.reason.code).toBe("condition_failed");
    expect(await end(io, broker)).toBe(61);
  });

  it("are there once, however often it is tried", async () => {
    const { io, broker } = await world();
    const once = { batchId: io.random.bytes(16), firstAttemptAt: io.clock.now() };
    const rows = [{ ...order("1", "x"), expect: "absent" } as const];
    const first = await send(io, broker, rows, once);
    for (const each of [broker, new Broker(io)])
      expect(await send(io, each, rows, once)).toEqual(first);
    expect(await end(io, broker)).toBe(1);
  });

  it("are both there or neither, whoever dies at whichever call of the store", async () => {
    const outcomes = new Map<string, number>();
    for (const how of ["before", "after", "unknown"] as const) {
      for (let call = 1; call <= 12; call++) {
        const { io, broker } = await world();
        const dying = { ...io, store: dyingAt(io.store, call, how) };
        const told = await Promise.race([
          send(dying, new Broker(dying), [order("1", "x")]).then(
            () => "told",
            () => "failed",
          ),
          new Promise<string>((resolve) => setTimeout(() => resolve("dead"), 30)),
        ]);
        const [item] = await io.store.get([order("1", "").key]);
        const count = await end(io, broker);
        expect(count).toBe(item === undefined ? 0 : 1);
        if (told === "told") expect(count).toBe(1);
        const name = `${told}, ${count === 1 ? "both" : "neither"}`;
        outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
      }
    }
    expect([...outcomes.keys()]).toEqual(expect.arrayContaining(["dead, both", "dead, neither"]));
  });

  it("lie in one transaction of LMDB", async () => {
    const folder = await makeTemporaryFolder();
    const clock = new VirtualClock();
    const store = await LmdbStore.open({ path: `${folder.path}/store.mdb`, clock });
    const { io, broker } = await world(store, clock);
    await send(io, broker, [{ ...order("1", "x"), expect: "absent" }]);
    const taken = send(io, broker, [{ ...order("1", "x"), expect: "absent" }]);
    expect(await refusalOf(taken)).toMatchObject({ code: "condition_failed" });
    const { items } = await io.store.scan({ partition: partitions.own("orders"), limit: 10 });
    expect(items).toHaveLength(1);
    expect(await end(io, broker)).toBe(1);
    await store.close();
    await folder.remove();
  });

  it("keep within limits, and to their own keys", async () => {
    const { io, broker } = await world();
    const many = Array.from({ length: limits.ownRowsMax + 1 }, (_, n) => order(`${n}`, "x"));
    const big = order("1", "x".repeat(390 * 1_024));
    for (const [rows, field] of [
      [[], "rows"],
      [many, "rows"],
      [[{ ...order("1", "x"), key: keys.topic("orders") }], "rows[0].key"],
      [[order("1", "x"), order("1", "y")], "rows[1].key"],
      [[order("", "x")], "rows[0].key"],
      [[{ ...order("1", "x"), expect: "vacant" } as const], "rows[0].expect"],
      [[order("1", "x".repeat(401 * 1_024))], "rows[0].value"],
      [[1, 2, 3, 4, 5, 6].map((n) => ({ ...big, key: order(`${n}`, "").key })), "rows"],
    ] as const)
      expect(await refusalOf(send(io, broker, rows))).toMatchObject({ code: "invalid", field });
    const delayed = { message: { body: Uint8Array.of(1), delayMs: 1 } };
    const refused = await refusalOf(send(io, broker, [order("1", "x")], delayed));
    expect(refused).toMatchObject({ code: "invalid", field: "message" });
    expect(await end(io, broker)).toBe(0);
    await send(io, broker, many.slice(1));
    await send(
      io,
      broker,
      [1, 2, 3, 4, 5].map((n) => ({ ...big, key: order(`b${n}`, "").key })),
    );
    expect(await end(io, broker)).toBe(2);
  });
});

function order(id: string, value: string): Extract<OwnWrite, { kind: "put" }> {
  return { kind: "put", key: keys.own("orders", utf8(id)), value: utf8(value) };
}

function send(
  io: Ports,
  broker: Broker,
  rows: readonly OwnWrite[],
  given: Partial<SendWithRowsRequest> = {},
) {
  const message = { body: Uint8Array.of(1) };
  return sendWithRows(io, broker, { topic: "orders", message, rows, ...given });
}

async function world(store?: Store, clock = new VirtualClock()) {
  const io = memoryPorts(clock, store === undefined ? {} : { store });
  const broker = new Broker(io);
  await broker.topics.ensure(io, "orders", { queues: 1 });
  return { io, broker };
}

/** How many messages are in the queue, as somebody else sees it. */
async function end(io: Ports, broker: Broker): Promise<number> {
  const { id: topicId } = await broker.topics.get(io, "orders");
  return (await new Broker(io).log.range(io, { topicId, queue: 0 })).max;
}
