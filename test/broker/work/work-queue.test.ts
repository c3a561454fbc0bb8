import { describe, expect, it } from "vitest";
import { newVersion } from "../../../src/broker/chance.ts";
import { Damaged, Unavailable } from "../../../src/broker/ports/failures.ts";
import type { Write } from "../../../src/broker/ports/store.ts";
import { partitions } from "../../../src/broker/schema.ts";
import { type DueWork, putWork, readWork, type Work } from "../../../src/broker/work/work.ts";
import { tick, type WorkDone } from "../../../src/broker/work/work-queue.ts";
import { HookedStore } from "../../support/hooked-store.ts";
import { memoryPorts } from "../../support/memory-ports.ts";
import { VirtualClock } from "../../support/virtual-clock.ts";

const minute = 60_000;

describe("a step of the work", () => {
  it("says when the next piece is due, and nothing where there is none", async () => {
    const { io, add } = world();
    expect(await tick(io, never)).toEqual({ more: false, nextAt: undefined });
    await add(io.clock.now() + 5_000, 1);
    await add(io.clock.now() + 3_000, 2);
    expect(await tick(io, never)).toEqual({ more: false, nextAt: io.clock.now() + 3_000 });
  });

  it("does what was due first, once, and removes it with what it brought about", async () => {
    const { io, add, left } = world();
    const now = io.clock.now();
    await add(now - 1_000, 1);
    await add(now - 3_000, 2);
    await add(now, 3);
    const done: number[] = [];
    const perform = async (_: unknown, due: DueWork): Promise<WorkDone> => {
      done.push(topicOf(due));
      const next = { dueAt: now + minute, work: workOf(topicOf(due) + 100) };
      return { writes: [putWork(io, next)] };
    };
    for (let step = 0; step < 3; step++)
      expect(await tick(io, perform)).toMatchObject({ more: true });
    expect(done).toEqual([2, 1, 3]);
    expect(await tick(io, perform)).toEqual({ more: false, nextAt: now + minute });
    expect((await left()).map(topicOf)).toEqual([101, 102, 103]);
  });

  it("comes again where more of it is left", async () => {
    const { io, add, left } = world();
    await add(io.clock.now(), 1);
    for (let step = 0; step < 3; step++) {
      expect(await tick(io, async () => "again")).toEqual({ more: true, nextAt: undefined });
      expect(await left()).toHaveLength(1);
    }
    await tick(io, async () => ({ writes: [] }));
    expect(await left()).toEqual([]);
  });

  it("is judged anew where its writes are refused", async () => {
    const { io, add, left } = world();
    await add(io.clock.now(), 1);
    const key = { partition: partitions.topics, sort: Uint8Array.of(1) };
    const stale: Write = { kind: "check", key, expect: { version: "gone" } };
    expect(await tick(io, async () => ({ writes: [stale] }))).toMatchObject({ more: true });
    expect(await left()).toHaveLength(1);
  });

  it("stays where the store or the process fails, in the middle of it or behind it", async () => {
    const { io, store, add, left } = world();
    await add(io.clock.now(), 1);
    const failing = tick(io, () => Promise.reject(new Unavailable("no blobs")));
    await expect(failing).rejects.toBeInstanceOf(Unavailable);
    store.beforeCommit = () => Promise.reject(new Error("the process ends here"));
    await expect(tick(io, async () => ({ writes: [] }))).rejects.toThrow("ends here");
    store.beforeCommit = undefined;
    expect((await left()).map(topicOf)).toEqual([1]);
  });

  it("may be done by several at once, and is gone once", async () => {
    const { io, add, left } = world();
    for (let topic = 1; topic <= 3; topic++) await add(io.clock.now(), topic);
    const both = () => Promise.all([1, 2].map(() => tick(io, async () => ({ writes: [] }))));
    for (let step = 0; step < 3; step++) await both();
    expect(await left()).toEqual([]);
  });
});

describe("work on what is damaged", () => {
  it("is put off by ten minutes and told of, and the rest goes on", async () => {
    const { io, add, left } = world();
    const now = io.clock.now();
    await add(now - 2, 1);
    await add(now - 1, 2);
    const damage = new Damaged("archived segment");
    const perform = async (_: unknown, due: DueWork): Promise<WorkDone> => {
      if (topicOf(due) === 1) throw damage;
      return { writes: [] };
    };
    expect(await tick(io, perform)).toEqual({ more: true, nextAt: undefined, damaged: damage });
    expect(await tick(io, perform)).toEqual({ more: true, nextAt: undefined });
    const nextAt = now + 10 * minute;
    expect(await tick(io, perform)).toEqual({ more: false, nextAt });
    expect(await left()).toEqual([{ dueAt: nextAt, work: workOf(1) }]);
    io.clock.pass(10 * minute);
    expect(await tick(io, async () => ({ writes: [] }))).toEqual({ more: true, nextAt: undefined });
    expect(await left()).toEqual([]);
  });

  it("is put off as it is where nobody can read what it was, and the rest goes on", async () => {
    const { io, add, left, damageFirst } = world();
    const now = io.clock.now();
    await add(now - 2, 1);
    await add(now - 1, 2);
    const damagedBytes = await damageFirst();
    expect(await tick(io, never)).toMatchObject({ more: true, damaged: { what: "work item" } });
    await tick(io, async () => ({ writes: [] }));
    const nextAt = now + 10 * minute;
    expect(await tick(io, never)).toEqual({ more: false, nextAt });
    await expect(left()).rejects.toBeInstanceOf(Damaged);
    const { items } = await io.store.scan({ partition: partitions.work, limit: 10 });
    expect(items.map(({ value }) => value)).toEqual([damagedBytes]);
  });
});

function world() {
  const plain = memoryPorts(new VirtualClock());
  const store = new HookedStore(plain.store);
  const io = { ...plain, store };
  return {
    io,
    store,
    add: (dueAt: number, topicId: number) =>
      store.commit([putWork(io, { dueAt, work: workOf(topicId) })], dueAt + minute),
    async left(): Promise<DueWork[]> {
      const { items } = await store.scan({ partition: partitions.work, limit: 100 });
      return items.map(readWork);
    },
    /** Flips a bit of the work that is due first, as a bad disk would. Answers what lies there then. */
    async damageFirst(): Promise<Uint8Array> {
      const { items } = await store.scan({ partition: partitions.work, limit: 1 });
      const [item] = items;
      if (item === undefined) throw new Error("there is no work");
      const value = Uint8Array.from(item.value, (byte, at) => (at === 9 ? byte ^ 1 : byte));
      const { key } = item;
      const version = newVersion(io.random);
      await store.commit([{ kind: "put", key, value, version }], io.clock.now());
      return value;
    },
  };
}

const never = () => Promise.reject(new Error("nothing was due"));

function workOf(topicId: number): Work {
  return { kind: "archive", topicId, queue: 0, base: 0, part: 0 };
}

function topicOf({ work }: DueWork): number {
  return "topicId" in work ? work.topicId : -1;
}
