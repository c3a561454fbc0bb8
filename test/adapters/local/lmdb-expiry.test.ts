import { stat } from "node:fs/promises";
import { join } from "node:path";
import { open } from "lmdb";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ExpirySweep } from "../../../src/adapters/local/expiry-sweep.ts";
import { expiredKeptMs, LmdbStore } from "../../../src/adapters/local/lmdb-store.ts";
import { ManualClock } from "../../../src/adapters/memory/manual-clock.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import { type Key, storeLimits, type Write } from "../../../src/broker/ports/store.ts";
import { makeTemporaryFolder, type TemporaryFolder } from "./temporary-folder.ts";

type Put = Write & { kind: "put" };

describe("LmdbStore, removing what has expired", () => {
  let clock: ManualClock;
  let folder: TemporaryFolder;
  let path: string;
  let store: LmdbStore;

  beforeEach(async () => {
    clock = new ManualClock();
    folder = await makeTemporaryFolder();
    path = join(folder.path, "store.mdb");
    store = await LmdbStore.open({ path, clock });
  });
  afterEach(async () => {
    await store.close();
    await folder.remove();
  });

  const commit = (...writes: Write[]) => store.commit(writes, clock.now() + 10_000);
  const fill = async (puts: readonly Put[]) => {
    const { commitWritesMax } = storeLimits;
    for (let i = 0; i < puts.length; i += commitWritesMax) {
      expect(await commit(...puts.slice(i, i + commitWritesMax))).toEqual({ outcome: "applied" });
    }
  };
  const isVacant = async (key: Key) =>
    (await commit({ kind: "check", key, expect: "vacant" })).outcome === "applied";
  const removePage = (from?: Uint8Array) => store.removeExpired({ from, now: clock.now() });
  /** Answers how many items each step has removed. */
  const removeAll = async (): Promise<number[]> => {
    const counts: number[] = [];
    let from: Uint8Array | undefined;
    do {
      const { removed, next } = await removePage(from);
      counts.push(removed);
      expect(counts.length).toBeLessThan(10);
      from = next;
    } while (from !== undefined);
    return counts;
  };

  it("law 5: an expired item stays for an hour, and then its place is vacant", async () => {
    const expiring = put(1, { expiresAt: clock.now() + 5_000 });
    await fill([put(0), expiring, put(2, { expiresAt: clock.now() + 2 ** 40 })]);
    await clock.advance(5_000 + expiredKeptMs - 1);
    expect(await removeAll()).toEqual([0]);
    expect(await isVacant(expiring.key)).toBe(false);
    await clock.advance(1);
    expect(await removeAll()).toEqual([1]);
    expect(await isVacant(expiring.key)).toBe(true);
    const left = await store.get([put(0).key, put(2).key]);
    expect(left.map((item) => item?.version)).toEqual(["v0", "v2"]);
  });

  it("law 5: what is put anew after it was looked at stays", async () => {
    const expiresAt = clock.now();
    await fill([put(0, { expiresAt }), put(1, { expiresAt }), put(2, { expiresAt })]);
    await clock.advance(expiredKeptMs);
    // It waits before the removal and is applied before it.
    const anew = commit(put(0, { version: "anew" }), put(1, { version: "anew", expiresAt }));
    const later = commit(put(1, { version: "later", expiresAt: clock.now() }));
    expect(await removePage()).toEqual({ removed: 1, next: undefined });
    expect(await Promise.all([anew, later])).toEqual([
      { outcome: "applied" },
      { outcome: "applied" },
    ]);
    expect((await store.get([put(0).key]))[0]?.version).toBe("anew");
    expect(await isVacant(put(1).key)).toBe(false);
    expect(await isVacant(put(2).key)).toBe(true);
  });

  it("law 5: of many items each step looks at 500 at most, and the next goes on behind them", async () => {
    const expiresAt = clock.now();
    await fill(many(1_200, (i) => put(i, i % 3 === 0 ? { expiresAt } : {})));
    await clock.advance(expiredKeptMs);
    expect(await removeAll()).toEqual([167, 167, 66]);
    expect(await removeAll()).toEqual([0, 0]);
    const page = await store.scan({ partition: put(0).key.partition, limit: 1_000 });
    expect(page.items.map(({ version }) => version)).toEqual(
      many(1_200, (i) => `v${i}`).filter((_, i) => i % 3 !== 0),
    );
  });

  it("goes on although the item where it stopped is gone", async () => {
    const expiresAt = clock.now();
    await fill(many(700, (i) => put(i, { expiresAt })));
    await clock.advance(expiredKeptMs);
    const first = await removePage();
    expect(first.removed).toBe(500);
    await commit({ kind: "delete", key: put(500).key });
    expect(await removePage(first.next)).toEqual({ removed: 199, next: undefined });
  });

  it("ends a step after some milliseconds, but not before it got on", async () => {
    await fill(many(100, (i) => put(i)));
    let now = clock.now();
    for (const msPerItem of [1, 50]) {
      const slow = { now: () => (now += msPerItem), sleep: async () => {} };
      const other = await LmdbStore.open({ path, clock: slow });
      let steps = 0;
      let from: Uint8Array | undefined;
      do {
        ({ next: from } = await other.removeExpired({ from, now: clock.now() }));
        steps++;
        expect(steps).toBeLessThanOrEqual(100);
      } while (from !== undefined);
      expect(steps).toBeGreaterThan(10);
      await other.close();
    }
  });

  it("makes no transaction where nothing has expired", async () => {
    await fill(many(10, (i) => put(i, { expiresAt: clock.now() + 5_000 })));
    const raw = open({ path, noSubdir: true, readOnly: true });
    const transactions = () => (raw.getStats() as { lastTxnId: number }).lastTxnId;
    const before = transactions();
    expect(await removeAll()).toEqual([0]);
    await clock.advance(5_000 + expiredKeptMs);
    expect(transactions()).toBe(before);
    expect(await removeAll()).toEqual([10]);
    expect(transactions()).toBe(before + 1);
    await raw.close();
  });

  it("leaves what it cannot read to those who ask for it", async () => {
    await fill([put(1, { expiresAt: clock.now() }), put(2, { expiresAt: clock.now() })]);
    await store.close();
    const options = { path, noSubdir: true, keyEncoding: "binary", encoding: "binary" } as const;
    const raw = open<Uint8Array, Uint8Array>(options);
    const [first = new Uint8Array(), second = new Uint8Array()] = [...raw.getKeys()];
    // Under a key that is not its own.
    await raw.put(first, raw.get(second) ?? new Uint8Array());
    await raw.put(Uint8Array.of(1, 112, 3), Uint8Array.of(1, 1, 200));
    await raw.put(Uint8Array.of(1, 112, 4), Uint8Array.of(9));
    await raw.put(Uint8Array.of(1, 112, 5), new Uint8Array());
    await raw.close();
    store = await LmdbStore.open({ path, clock });
    await clock.advance(expiredKeptMs);
    expect(await removeAll()).toEqual([1]);
    const left = open<Uint8Array, Uint8Array>(options);
    expect(left.getKeysCount()).toBe(4);
    await left.close();
  });

  it("ends the step under way before the store closes, and throws Unavailable afterwards", async () => {
    await fill([put(1, { expiresAt: clock.now() })]);
    await clock.advance(expiredKeptMs);
    const step = removePage();
    const closing = store.close();
    expect(await step).toEqual({ removed: 1, next: undefined });
    await closing;
    await expect(removePage()).rejects.toBeInstanceOf(Unavailable);
  });

  it("lets the file use its pages again: it stops growing while rows come and go", async () => {
    const sizes: number[] = [];
    const kept = join(folder.path, "kept.mdb");
    const control = await LmdbStore.open({ path: kept, clock });
    for (let round = 0; round < 24; round++) {
      const expiresAt = clock.now() + 1_000;
      // As the log does it: each row alone, in a place that is vacant, of any size.
      const rows = many(40, (i) =>
        put(round * 40 + i, { value: new Uint8Array((i * i * 15) % 20_000), expiresAt }),
      );
      for (const row of rows) await commit({ ...row, expect: "vacant" });
      await control.commit(rows, clock.now() + 10_000);
      await clock.advance(1_000 + expiredKeptMs);
      expect(await removeAll()).toEqual([40]);
      sizes.push((await stat(path)).size);
    }
    const [settled = 0, last = 0] = [sizes[7], sizes.at(-1)];
    expect(last).toBeLessThanOrEqual(settled * 1.1);
    // Without removing it grows with every round.
    expect((await stat(kept)).size).toBeGreaterThan(3 * last);
    await control.close();
  });

  it("is swept by ExpirySweep", async () => {
    await fill(many(1_200, (i) => put(i, { expiresAt: clock.now() + i })));
    const errors: unknown[] = [];
    const sweep = new ExpirySweep({ store, clock, onError: (error) => errors.push(error) });
    sweep.start();
    await clock.advance(expiredKeptMs + 10_000);
    while (!(await isVacant(put(1_199).key))) await clock.advance(1_000);
    await sweep.close();
    expect(await isVacant(put(0).key)).toBe(true);
    expect(errors).toEqual([]);
  });
});

function many<T>(length: number, make: (i: number) => T): T[] {
  return Array.from({ length }, (_, i) => make(i));
}

function put(i: number, extra: Partial<Put> = {}): Put {
  const key = { partition: Uint8Array.of(112), sort: Uint8Array.of(i >> 8, i & 255) };
  return { kind: "put", key, value: Uint8Array.of(i), version: `v${i}`, ...extra };
}
