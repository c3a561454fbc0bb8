import { join } from "node:path";
import { open } from "lmdb";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LmdbStore } from "../../../src/adapters/local/lmdb-store.ts";
import { ManualClock } from "../../../src/adapters/memory/manual-clock.ts";
import { Damaged, Unavailable } from "../../../src/broker/ports/failures.ts";
import type { Key, Write } from "../../../src/broker/ports/store.ts";
import { runStoreContract } from "../../contract/store.contract.ts";
import { makeTemporaryFolder, type TemporaryFolder } from "./temporary-folder.ts";

runStoreContract({
  async create(clock) {
    const folder = await makeTemporaryFolder();
    const path = join(folder.path, "data", "store.mdb");
    const store = await LmdbStore.open({ path, clock });
    const other = await LmdbStore.open({ path, clock });
    const close = async () => {
      await other.close();
      await store.close();
      await folder.remove();
    };
    return { store, other, close };
  },
});

describe("LmdbStore", () => {
  const clock = new ManualClock();
  let folder: TemporaryFolder;
  let path: string;
  let store: LmdbStore;

  beforeEach(async () => {
    folder = await makeTemporaryFolder();
    path = join(folder.path, "store.mdb");
    store = await LmdbStore.open({ path, clock });
  });
  afterEach(async () => {
    await store.close();
    await folder.remove();
  });

  const soon = clock.now() + 10_000;

  it("finds everything again when it is opened anew", async () => {
    const expiresAt = clock.now() + 5_000;
    const writes = Array.from({ length: 50 }, (_, i) => put(i, { expiresAt }));
    await store.commit(writes, soon);
    await store.close();
    store = await LmdbStore.open({ path, clock });
    const items = await store.get(writes.map(({ key }) => key));
    expect(items.map((item) => item?.version)).toEqual(writes.map((_, i) => `v${i}`));
    expect(items[0]?.expiresAt).toBe(expiresAt);
  });

  it("puts commits that wait into one transaction, 16 MB at most", async () => {
    const value = new Uint8Array(300_000);
    const all = Array.from({ length: 120 }, (_, i) => store.commit([put(i, { value })], soon));
    const raw = open({ path, noSubdir: true, readOnly: true });
    const transactions = new Set<number>();
    for (const commit of all) {
      await commit;
      transactions.add((raw.getStats() as { lastTxnId: number }).lastTxnId);
    }
    await raw.close();
    // 36 MB of values.
    expect(transactions.size).toBeGreaterThanOrEqual(2);
    expect(transactions.size).toBeLessThanOrEqual(4);
  });

  it("law 7: a commit that is held back on its way past its time is never applied", async () => {
    let now = clock.now();
    const moving = { now: () => now, sleep: async () => {} };
    const other = await LmdbStore.open({ path, clock: moving });
    const held = other.commit([put(1)], now + 5);
    now += 6;
    await expect(held).rejects.toBeInstanceOf(Unavailable);
    expect(await store.get([put(1).key])).toEqual([undefined]);
    await other.close();
  });

  it("answers the commits under way before it closes, and throws Unavailable afterwards", async () => {
    const commits = [0, 1, 2].map((i) => store.commit([put(i)], soon));
    const closing = store.close();
    const late = store.commit([put(3)], soon);
    await expect(late).rejects.toBeInstanceOf(Unavailable);
    await expect(store.get([put(0).key])).rejects.toBeInstanceOf(Unavailable);
    expect(await Promise.all(commits)).toEqual(commits.map(() => ({ outcome: "applied" })));
    await closing;
    await store.close();
    await expect(store.get([put(0).key])).rejects.toBeInstanceOf(Unavailable);
  });

  it("throws Damaged for a header that makes no sense, and leaves other commits alone", async () => {
    await store.commit([put(1), put(2)], soon);
    await store.close();
    const raw = open<Uint8Array, Uint8Array>({
      path,
      noSubdir: true,
      keyEncoding: "binary",
      encoding: "binary",
    });
    await raw.put(Uint8Array.of(1, 112, 1), Uint8Array.of(9, 0, 1, 65));
    await raw.close();
    store = await LmdbStore.open({ path, clock });
    await expect(store.get([put(1).key])).rejects.toBeInstanceOf(Damaged);
    const page = store.scan({ partition: Uint8Array.of(112), limit: 9 });
    await expect(page).rejects.toBeInstanceOf(Damaged);
    const commits = await Promise.allSettled([
      store.commit([put(3)], soon),
      store.commit([put(1)], soon),
      store.commit([put(4)], soon),
    ]);
    expect(commits.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(await store.get([put(3).key, put(4).key])).not.toContain(undefined);
  });
});

function put(i: number, extra: Partial<Write & { kind: "put" }> = {}): Write & { key: Key } {
  const key = { partition: Uint8Array.of(112), sort: Uint8Array.of(i) };
  return { kind: "put", key, value: Uint8Array.of(i), version: `v${i}`, ...extra };
}
