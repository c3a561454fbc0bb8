import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Broker } from "../../../src/broker/broker.ts";
import { assign } from "../../../src/broker/consuming/assignment.ts";
import type { GroupSettings } from "../../../src/broker/consuming/group.ts";
import { type PollRequest, poll } from "../../../src/broker/consuming/poll.ts";
import { limits } from "../../../src/broker/limits.ts";
import { metered, Usage } from "../../../src/broker/metering.ts";
import { sendMessages } from "../../../src/broker/sending/send-messages.ts";
import { refusalOf } from "../../support/code-of.ts";
import { memoryPorts } from "../../support/memory-ports.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

describe("queues", () => {
  it("are shared evenly, each once, and few move when somebody comes or goes", () => {
    const members = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 12 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), members, fc.nat(), (queues, ids, pick) => {
        const before = assign(queues, ids, {});
        const gone = ids.filter((_, index) => index !== pick % Math.max(1, ids.length));
        for (const [own, after] of [
          [ids, before],
          [gone, assign(queues, gone, before)],
        ] as const) {
          const sizes = own.map((id) => after[id]?.length ?? 0);
          if (own.length === 0) continue;
          expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
          const all = Object.values(after)
            .flat()
            .sort((a, b) => a - b);
          expect(all).toEqual(Array.from({ length: queues }, (_, queue) => queue));
        }
        // Whoever stays keeps what he has.
        const after = assign(queues, gone, before);
        for (const id of gone)
          expect(after[id]).toEqual(expect.arrayContaining([...(before[id] ?? [])]));
        // Whoever comes takes no more than his share.
        const back = assign(queues, ids, after);
        const moved = gone.flatMap((id) => (after[id] ?? []).filter((q) => !back[id]?.includes(q)));
        expect(moved.length).toBeLessThanOrEqual(Math.ceil(queues / Math.max(1, ids.length)));
      }),
    );
  });
});

describe("members", () => {
  it("share the queues, and those of one who leaves or is silent go to the others", async () => {
    const world = await start();
    const a = await world.beat("a");
    expect(a).toEqual({ generation: 1, assignments: { orders: [0, 1, 2, 3] } });
    expect((await world.beat("b")).assignments["orders"]).toHaveLength(2);
    expect((await world.beat("a")).generation).toBe(2);
    await world.broker.members.leave(world.io, "g", "b");
    expect(await world.beat("a")).toMatchObject({
      generation: 3,
      assignments: { orders: [0, 1, 2, 3] },
    });
    await world.beat("c");
    world.clock.pass(limits.memberMs);
    expect(await world.beat("a")).toMatchObject({ assignments: { orders: [0, 1, 2, 3] } });
    const { members } = await world.broker.members.list(world.io, "g");
    expect(members.map(({ clientId }) => clientId)).toEqual(["a"]);
  });

  it("keep committing what stays theirs, and are refused for what went to others", async () => {
    const world = await start();
    const { generation, assignments } = await world.beat("a");
    const before = assignments["orders"] ?? [];
    const commit = (clientId: string, of: number, queue: number, next: number) =>
      world.broker.groupOffsets.commit(world.io, {
        group: "g",
        topic: world.topic,
        offsets: new Map([[queue, next]]),
        clientId,
        generation: of,
      });
    await commit("a", generation, 0, 1);
    const b = await world.beat("b");
    const gone = b.assignments["orders"]?.[0] ?? -1;
    const kept = before.find((queue) => !b.assignments["orders"]?.includes(queue)) ?? -1;
    expect(await commit("a", generation, kept, 2)).toEqual(new Map([[kept, 2]]));
    expect(await refusalOf(commit("a", generation, gone, 2))).toMatchObject({
      code: "generation_stale",
      queues: [gone],
    });
    // Also where it has heard of the new generation, but does not act on it.
    expect(await refusalOf(commit("a", b.generation, gone, 2))).toMatchObject({
      code: "generation_stale",
    });
    expect(await commit("b", b.generation, gone, 3)).toEqual(new Map([[gone, 3]]));
  });

  it("commit, stay and pull all of their queues in one turn", async () => {
    const world = await start();
    await world.send(["a", "b", "c", "d"]);
    const first = await world.poll("x");
    expect(first.messages.map(({ queue }) => queue).sort()).toEqual([0, 1, 2, 3]);
    const { generation, next } = first;
    const usage = new Usage();
    const turn = { generation, commit: next };
    const second = await world.poll("x", turn, metered(world.io, usage));
    expect(second.messages).toEqual([]);
    expect(second.next).toEqual(next);
    // A commit for each queue, the states, and a look where each ends.
    expect(usage.storeRequests).toBe(4 + 2);
    const waiting = world.poll("x", { waitMs: 20_000 });
    await world.clock.sleep(30);
    const sentAt = world.clock.now();
    await world.send(["e"]);
    expect((await waiting).messages).toHaveLength(1);
    expect(world.clock.now() - sentAt).toBeLessThan(20);
  });

  it("stay members while they wait, and hear of another generation", async () => {
    const world = await start();
    const waiting = world.poll("x", { waitMs: 20_000 });
    await world.clock.sleep(12_000);
    await world.beat("y");
    const { assignments, generation } = await waiting;
    expect([generation, assignments["orders"]?.length]).toEqual([2, 2]);
  });

  it("of a group that broadcasts consume all queues, each with offsets of its own", async () => {
    const world = await start({ broadcast: true });
    await world.send(["a", "b"]);
    const [x, y] = [await world.poll("x"), await world.poll("y")];
    expect([x.messages.length, y.messages.length]).toEqual([2, 2]);
    const after = await world.poll("x", { generation: x.generation, commit: x.next });
    expect(after.messages).toEqual([]);
    expect((await world.poll("y")).messages).toHaveLength(2);
    const request = {
      group: "g",
      topic: "orders",
      max: 1,
      bytesMax: 1,
      invisibleMs: 1_000,
      waitMs: 0,
    };
    expect(await refusalOf(world.broker.receiving.receive(world.io, request))).toMatchObject({
      code: "invalid",
    });
  });

  it("pass over what the filter does not want", async () => {
    const world = await start({ filters: { orders: "yes" } });
    await world.send(["a", "b", "c"], (index) => ({ queue: 0, tag: index === 1 ? "yes" : "no" }));
    const { messages, next } = await world.poll("x");
    expect(messages.map(({ stored }) => stored.offset)).toEqual([1]);
    expect(next.get("orders")?.get(0)).toBe(3);
  });
});

describe("a deleted group", () => {
  it("leaves nothing behind, and one that is made again begins anew", async () => {
    const world = await start();
    const { broker, io } = world;
    const rows = async () => (await Promise.all("CHKRSBM".split("").map(world.count))).join();
    const clean = await rows();
    await world.send(["a"]);
    const request = {
      group: "g",
      topic: "orders",
      max: 9,
      bytesMax: 999,
      invisibleMs: 1_000,
      waitMs: 0,
    };
    expect((await broker.receiving.receive(io, request)).messages).toHaveLength(1);
    await world.beat("x");
    expect(await refusalOf(broker.deleteGroup(io, "g", { force: false }))).toMatchObject({
      code: "group_has_members",
    });
    await broker.deleteGroup(io, "g", { force: true });
    expect((await broker.receiving.receive(io, request)).messages).toHaveLength(1);
    await broker.deleteGroup(io, "g", { force: true });
    world.clock.pass(10 * 60_000);
    for (let step = 0; step < 5; step++) await broker.sweep(io);
    const [, ...others] = (await rows()).split(",");
    expect(others.slice(0, 3)).toEqual(clean.split(",").slice(1, 4));
  });
});

async function start(settings: Partial<GroupSettings> = {}) {
  const clock = new VirtualClock();
  const io = memoryPorts(clock);
  const broker = new Broker(io);
  const { topic } = await broker.topics.ensure(io, "orders", { queues: 4 });
  await broker.groups.ensure(io, "g", settings);
  return {
    clock,
    io,
    broker,
    topic,
    beat: (clientId: string) =>
      broker.members.heartbeat(io, { group: "g", clientId, topics: ["orders"] }),
    poll: (
      clientId: string,
      more: Partial<PollRequest> = {},
      ports = io as typeof io | ReturnType<typeof metered>,
    ) =>
      poll(ports, broker, {
        group: "g",
        clientId,
        topics: ["orders"],
        commit: new Map(),
        max: 32,
        bytesMax: 1_048_576,
        waitMs: 0,
        ...more,
      }),
    async send(
      texts: readonly string[],
      more: (index: number) => object = (index) => ({ queue: index % 4 }),
    ) {
      const messages = texts.map((each, index) => ({
        body: new TextEncoder().encode(each),
        ...more(index),
      }));
      await sendMessages(io, broker, { topic: "orders", messages });
    },
    /** Rows whose partition begins with this letter, of the ids that there are here. */
    async count(letter: string): Promise<number> {
      const bytes = (...numbers: number[]) =>
        Uint8Array.from([letter.charCodeAt(0), ...numbers.flatMap((n) => [0, 0, 0, n])]);
      const partitions =
        letter === "C"
          ? [bytes()]
          : letter === "H" || letter === "K"
            ? [1, 2, 3, 4].map((n) => bytes(n))
            : [1, 2, 3].flatMap((g) => [1, 2, 3, 4].map((t) => bytes(g, t)));
      const pages = await Promise.all(
        partitions.map((partition) => io.store.scan({ partition, limit: 100 })),
      );
      return pages.reduce((sum, { items }) => sum + items.length, 0);
    },
  };
}
