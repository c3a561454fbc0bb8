import { afterEach, beforeEach, describe, expect } from "vitest";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { InvariantViolation } from "../../src/broker/assert.ts";
import { Unavailable } from "../../src/broker/ports/failures.ts";
import type {
  CommitResult,
  Expectation,
  Item,
  Key,
  ScanRange,
  Store,
  Write,
} from "../../src/broker/ports/store.ts";
import { contractCases, type Skip } from "./cases.ts";

export interface StoreUnderTest {
  readonly store: Store;
  /** A second handle on the same data, as another process would have it. */
  readonly other?: Store;
  close?(): Promise<void>;
}

export interface StoreContractOptions {
  create(clock: ManualClock): Promise<StoreUnderTest>;
  readonly skip?: readonly Skip[];
}

const applied: CommitResult = { outcome: "applied" };

/** Every law of the store port, on one adapter. */
export function runStoreContract({ create, skip = [] }: StoreContractOptions): void {
  const test = contractCases(skip);

  describe("store contract", () => {
    let clock: ManualClock;
    let under: StoreUnderTest;
    let store: Store;
    let versions: number;

    beforeEach(async () => {
      clock = new ManualClock();
      under = await create(clock);
      store = under.store;
      versions = 0;
    });
    afterEach(() => under.close?.());

    const nextVersion = () => `v${++versions}`;
    const soon = () => clock.now() + 10_000;
    const commit = (...writes: Write[]) => store.commit(writes, soon());
    const put = (at: Key, extra: Partial<Write & { kind: "put" }> = {}): Write => ({
      kind: "put",
      key: at,
      value: bytes("value"),
      version: nextVersion(),
      ...extra,
    });
    const read = async (at: Key): Promise<Item | undefined> => (await store.get([at]))[0];
    const fill = async (partition: string, sorts: readonly number[][]) => {
      for (const sort of sorts) {
        const at = { partition: bytes(partition), sort: Uint8Array.from(sort) };
        expect(await commit(put(at))).toEqual(applied);
      }
    };
    const scanned = async (range: Omit<ScanRange, "partition"> & { partition?: string }) => {
      const partition = bytes(range.partition ?? "p");
      const page = await store.scan({ ...range, partition });
      return { sorts: page.items.map(({ key: { sort } }) => [...sort]), more: page.more };
    };

    describe("law 1", () => {
      const sorts = [
        [0],
        [0, 0],
        [0, 255],
        [1],
        [127],
        [128],
        [128, 0],
        [255],
        [255, 0],
        [255, 255],
      ];

      test("law 1: a scan walks binary sort keys in the order of their bytes", async () => {
        await fill("p", [...sorts].reverse());
        expect(await scanned({ limit: 100 })).toEqual({ sorts, more: false });
      });

      test("law 1: a reverse scan walks them downwards", async () => {
        await fill("p", sorts);
        const page = await scanned({ limit: 100, reverse: true });
        expect(page).toEqual({ sorts: [...sorts].reverse(), more: false });
      });

      test("law 1: a scan never shows an item of another partition", async () => {
        for (const partition of ["p", "pp", "p\0", "o", "q", "p\xff"])
          await fill(partition, [[112], [0]]);
        for (const reverse of [false, true]) {
          expect((await scanned({ limit: 100, reverse })).sorts).toHaveLength(2);
          const page = await scanned({
            limit: 100,
            reverse,
            from: Uint8Array.of(),
            to: Uint8Array.of(255),
          });
          expect(page.sorts).toHaveLength(2);
        }
        expect((await scanned({ limit: 100, partition: "r" })).sorts).toEqual([]);
      });

      test("law 1: partition and sort key are told apart wherever the cut is", async () => {
        await commit(put(key("ab", "c"), { value: bytes("1") }));
        await commit(put(key("a", "bc"), { value: bytes("2") }));
        expect((await read(key("ab", "c")))?.value).toEqual(bytes("1"));
        expect((await read(key("a", "bc")))?.value).toEqual(bytes("2"));
      });

      test("law 1: the longest keys are stored, ordered and found", async () => {
        const partition = new Uint8Array(255).fill(255);
        const longest = { partition, sort: new Uint8Array(1_024).fill(255) };
        await commit(put(longest), put({ partition, sort: Uint8Array.of(255) }));
        expect((await read(longest))?.version).toBe("v1");
        const { items } = await store.scan({ partition, limit: 9, reverse: true });
        expect(items.map((item) => item.version)).toEqual(["v1", "v2"]);
      });

      test("law 1: both bounds are inclusive, whether or not an item is there", async () => {
        await fill("p", [[1], [3], [5], [7]]);
        for (const [from, to, expected] of [
          [3, 5, [[3], [5]]],
          [2, 6, [[3], [5]]],
          [0, 1, [[1]]],
          [7, 9, [[7]]],
          [4, 4, []],
          [5, 5, [[5]]],
        ] as const) {
          const bounds = { from: Uint8Array.of(from), to: Uint8Array.of(to), limit: 9 };
          expect(await scanned(bounds)).toEqual({ sorts: expected, more: false });
          const reversed = await scanned({ ...bounds, reverse: true });
          expect(reversed).toEqual({ sorts: [...expected].reverse(), more: false });
        }
      });

      test("law 1: one bound alone leaves the other side open", async () => {
        await fill("p", [[1], [3], [5]]);
        for (const reverse of [false, true]) {
          const from = await scanned({ from: Uint8Array.of(3), limit: 9, reverse });
          const to = await scanned({ to: Uint8Array.of(3), limit: 9, reverse });
          expect(from.sorts.flat().sort()).toEqual([3, 5]);
          expect(to.sorts.flat().sort()).toEqual([1, 3]);
        }
      });

      test("law 1: crossed bounds are an empty answer", async () => {
        await fill("p", [[1], [3], [5]]);
        for (const reverse of [false, true]) {
          const bounds = { from: Uint8Array.of(5), to: Uint8Array.of(1), limit: 9, reverse };
          expect(await scanned(bounds)).toEqual({ sorts: [], more: false });
        }
      });

      test("law 1: pages of any size show every item once, and the last says so", async () => {
        const all = Array.from({ length: 7 }, (_, i) => [i]);
        await fill("p", all);
        for (const limit of [1, 2, 3, 7, 8]) {
          const seen: number[][] = [];
          let from = Uint8Array.of();
          while (seen.length < 7) {
            const page = await scanned({ from, limit });
            expect(page.sorts).toHaveLength(Math.min(limit, 7 - seen.length));
            seen.push(...page.sorts);
            from = Uint8Array.of(...(page.sorts.at(-1) ?? []), 0);
            expect(page.more).toBe(seen.length < 7);
          }
          expect(seen).toEqual(all);
        }
      });

      test("law 1: a reverse page says whether more lies below it", async () => {
        await fill("p", [[1], [2], [3]]);
        expect(await scanned({ limit: 2, reverse: true })).toEqual({
          sorts: [[3], [2]],
          more: true,
        });
        const rest = { limit: 2, reverse: true, to: Uint8Array.of(1) };
        expect(await scanned(rest)).toEqual({ sorts: [[1]], more: false });
        const within = { limit: 2, reverse: true, from: Uint8Array.of(2) };
        expect(await scanned(within)).toEqual({ sorts: [[3], [2]], more: false });
      });

      test("law 1: a page ends with the item that reaches bytesMax, and has one at least", async () => {
        for (const sort of ["a", "b", "c"])
          await commit(put(key("p", sort), { value: new Uint8Array(100) }));
        const count = async (bytesMax: number) =>
          (await scanned({ limit: 9, bytesMax })).sorts.length;
        expect(await Promise.all([1, 100, 101, 200, 201, 300, 999].map(count))).toEqual([
          1, 1, 2, 2, 3, 3, 3,
        ]);
        expect((await scanned({ limit: 9, bytesMax: 200 })).more).toBe(true);
        expect((await scanned({ limit: 9, bytesMax: 300 })).more).toBe(false);
      });
    });

    describe("law 2", () => {
      test("law 2: a read sees the commit that was answered just before", async () => {
        const at = key("p", "s");
        for (let i = 0; i < 20; i++) {
          const version = nextVersion();
          await commit(put(at, { version, value: bytes(version) }));
          expect(await read(at)).toEqual({ key: at, value: bytes(version), version });
          const page = await store.scan({ partition: at.partition, limit: 1 });
          expect(page.items[0]?.version).toBe(version);
        }
      });

      test("law 2: a read through another handle sees it too, within the same turn", async () => {
        const other = under.other ?? store;
        const at = key("p", "s");
        for (let i = 0; i < 20; i++) {
          await other.get([at]);
          const version = nextVersion();
          await commit(put(at, { version }));
          expect((await other.get([at]))[0]?.version).toBe(version);
          const page = await other.scan({ partition: at.partition, limit: 1 });
          expect(page.items[0]?.version).toBe(version);
        }
      });

      test("law 2: get answers in the order of the keys, with nothing for what is not there", async () => {
        await commit(put(key("p", "a")), put(key("q", "b")));
        const items = await store.get([key("q", "b"), key("p", "x"), key("p", "a"), key("q", "b")]);
        expect(items.map((item) => item?.version)).toEqual(["v2", undefined, "v1", "v2"]);
        expect(await store.get([])).toEqual([]);
      });

      test("law 2: an item comes back as it was put, also an empty or a large one", async () => {
        const large = Uint8Array.from({ length: 40_000 }, (_, i) => i % 251);
        const expiresAt = clock.now() + 2 ** 40;
        await commit(
          put(key("p", "empty"), { value: bytes("") }),
          put(key("p", "large"), { value: large }),
        );
        await commit(put(key("p", "expires"), { expiresAt, version: "~".repeat(32) }));
        const { items } = await store.scan({ partition: bytes("p"), limit: 9 });
        expect(items).toEqual([
          { key: key("p", "empty"), value: bytes(""), version: "v1" },
          { key: key("p", "expires"), value: bytes("value"), version: "~".repeat(32), expiresAt },
          { key: key("p", "large"), value: large, version: "v2" },
        ]);
        expect(await store.get(items.map((item) => item.key))).toEqual(items);
      });

      test("law 2: what was read does not change when others write", async () => {
        const at = key("p", "s");
        await commit(put(at, { value: bytes("first") }));
        const item = await read(at);
        const page = await store.scan({ partition: at.partition, limit: 1 });
        await commit(put(at, { value: bytes("other") }));
        await read(at);
        expect(item?.value).toEqual(bytes("first"));
        expect(page.items[0]?.value).toEqual(bytes("first"));
      });

      test("law 2: a caller may use its buffers again as soon as it has called", async () => {
        const at = key("p", "s");
        const value = bytes("first");
        const promise = commit(put(at, { value }));
        value.fill(0);
        at.partition.fill(0);
        at.sort.fill(0);
        expect(await promise).toEqual(applied);
        expect((await read(key("p", "s")))?.value).toEqual(bytes("first"));
        expect((await scanned({ limit: 9 })).sorts).toEqual([[...bytes("s")]]);
      });

      test("law 2: a deleted item is gone, and deleting what is not there is applied", async () => {
        const at = key("p", "s");
        await commit(put(at));
        expect(await commit({ kind: "delete", key: at })).toEqual(applied);
        expect(await read(at)).toBeUndefined();
        expect(await commit({ kind: "delete", key: at })).toEqual(applied);
      });
    });

    describe("law 3", () => {
      const a = key("p", "a");
      const b = key("p", "b");
      const c = key("q", "c");

      test("law 3: what does not hold refuses the whole commit, wherever it stands", async () => {
        await commit(put(a), put(c));
        const failing: Write[] = [
          put(a, { expect: "absent" }),
          put(a, { expect: "vacant" }),
          put(a, { expect: { version: "another" } }),
          put(b, { expect: { version: "v1" } }),
          { kind: "delete", key: a, expect: { version: "another" } },
          { kind: "delete", key: b, expect: { version: "v1" } },
          { kind: "delete", key: a, expect: "absent" },
          { kind: "check", key: a, expect: "absent" },
          { kind: "check", key: a, expect: "vacant" },
          { kind: "check", key: a, expect: { version: "v2" } },
          { kind: "check", key: b, expect: { version: "v1" } },
        ];
        const harmless = (): Write[] => [put(key("p", "x")), { kind: "delete", key: c }];
        for (const write of failing) {
          for (const writes of [
            [write, ...harmless()],
            [...harmless(), write],
          ]) {
            expect((await commit(...writes)).outcome).toBe("refused");
          }
        }
        expect((await read(a))?.version).toBe("v1");
        expect((await read(c))?.version).toBe("v2");
        expect((await scanned({ limit: 9 })).sorts).toEqual([[...bytes("a")]]);
      });

      test("law 3: what holds is applied, all of it", async () => {
        await commit(put(a), put(c));
        const writes: Write[] = [
          put(b, { expect: "absent", version: "b1" }),
          put(a, { expect: { version: "v1" }, version: "a2" }),
          { kind: "delete", key: c, expect: { version: "v2" } },
          { kind: "check", key: key("p", "none"), expect: "vacant" },
          { kind: "check", key: key("q", "none"), expect: "absent" },
        ];
        expect(await commit(...writes)).toEqual(applied);
        const items = await store.get([a, b, c]);
        expect(items.map((item) => item?.version)).toEqual(["a2", "b1", undefined]);
      });

      test("law 3: a check alone can be committed and changes nothing", async () => {
        await commit(put(a));
        expect(await commit({ kind: "check", key: a, expect: { version: "v1" } })).toEqual(applied);
        expect((await read(a))?.version).toBe("v1");
      });

      test("law 3: a refusal hands back the current items, in the order of the writes", async () => {
        await commit(put(a, { value: bytes("A") }));
        const result = await commit(
          put(b, { expect: "absent" }),
          { kind: "check", key: a, expect: "absent" },
          { kind: "delete", key: c },
        );
        const current = [undefined, { key: a, value: bytes("A"), version: "v1" }, undefined];
        expect(result).toEqual({ outcome: "refused", current });
      });

      test("law 3: of 50 commits at once on one key exactly one is applied", async () => {
        await commit(put(a, { version: "start" }));
        for (const expectation of ["absent", { version: "start" }] satisfies Expectation[]) {
          const target = expectation === "absent" ? b : a;
          const results = await Promise.all(
            Array.from({ length: 50 }, (_, i) =>
              commit(
                put(target, { expect: expectation, version: `try-${i}` }),
                put(key("own", `${i}`), { version: `own-${i}` }),
              ),
            ),
          );
          const winners = results.flatMap(({ outcome }, i) => (outcome === "applied" ? [i] : []));
          expect(winners).toHaveLength(1);
          expect((await read(target))?.version).toBe(`try-${winners[0]}`);
          for (const result of results) {
            if (result.outcome === "applied") continue;
            expect(result.outcome === "refused" && result.current[0]?.version).toBe(
              `try-${winners[0]}`,
            );
          }
          const { items } = await store.scan({ partition: bytes("own"), limit: 99 });
          expect(items.map((item) => item.version)).toEqual([`own-${winners[0]}`]);
          await commit({ kind: "delete", key: key("own", `${winners[0]}`) });
        }
      });

      test("law 3: commits made at once neither lose nor mix their writes", async () => {
        await Promise.all(
          Array.from({ length: 50 }, (_, i) =>
            commit(
              put(key("x", `${i}`), { version: `x${i}` }),
              put(key("y", `${i}`), { version: `y${i}` }),
            ),
          ),
        );
        for (const name of ["x", "y"]) {
          const { items } = await store.scan({ partition: bytes(name), limit: 99 });
          expect(items).toHaveLength(50);
          for (const item of items) expect(item.version).toBe(name + text(item.key.sort));
        }
      });
    });

    describe("law 4", () => {
      const a = key("p", "a");
      const b = key("p", "b");

      test("law 4: a commit that is repeated with the same versions was applied and says so", async () => {
        const writes = [put(a, { expect: "absent" }), put(b, { expect: "vacant" })];
        expect(await commit(...writes)).toEqual(applied);
        expect(await commit(...writes)).toEqual(applied);
        const turn = [put(a, { expect: { version: "v1" } }), { kind: "delete", key: b } as const];
        expect(await commit(...turn)).toEqual(applied);
        expect(await commit(...turn)).toEqual(applied);
        expect((await read(a))?.version).toBe("v3");
      });

      test("law 4: it says so also when only one of its puts is still there", async () => {
        const writes = [put(a, { expect: "absent" }), put(b, { expect: "absent" })];
        await commit(...writes);
        await commit(put(a, { value: bytes("newer"), version: "newer" }));
        expect(await commit(...writes)).toEqual(applied);
        expect(await read(a)).toEqual({ key: a, value: bytes("newer"), version: "newer" });
      });

      test("law 4: it says so also when the item that tells has expired", async () => {
        const writes = [put(a, { expect: "vacant", expiresAt: clock.now() + 5 })];
        await commit(...writes);
        await clock.advance(5);
        expect(await commit(...writes)).toEqual(applied);
        expect(await read(a)).toBeUndefined();
      });

      test("law 4: the same commit with other versions is refused", async () => {
        await commit(put(a, { expect: "absent" }));
        expect((await commit(put(a, { expect: "absent" }))).outcome).toBe("refused");
        expect((await read(a))?.version).toBe("v1");
      });

      test("law 4: a commit made twice at once is applied once", async () => {
        await commit(put(a, { version: "start" }));
        const writes = [put(a, { expect: { version: "start" }, version: "next" })];
        const results = await Promise.all([commit(...writes), commit(...writes)]);
        expect(results).toEqual([applied, applied]);
      });
    });

    describe("law 5", () => {
      const at = key("p", "s");
      const putExpiring = async () => {
        const expiresAt = clock.now() + 1_000;
        expect(await commit(put(at, { expiresAt, version: "old" }))).toEqual(applied);
        return { key: at, value: bytes("value"), version: "old", expiresAt };
      };

      test("law 5: an item reads as absent from the very instant of its expiry", async () => {
        const item = await putExpiring();
        await clock.advance(999);
        expect(await read(at)).toEqual(item);
        expect((await store.scan({ partition: at.partition, limit: 9 })).items).toEqual([item]);
        await clock.advance(1);
        expect(await read(at)).toBeUndefined();
        expect((await store.scan({ partition: at.partition, limit: 9 })).items).toEqual([]);
      });

      test("law 5: expired items take no room in a page", async () => {
        for (const sort of ["a", "b", "d"])
          await commit(put(key("p", sort), { expiresAt: clock.now() + 1 }));
        await commit(put(key("p", "c")), put(key("p", "e")));
        await clock.advance(1);
        const page = await store.scan({ partition: at.partition, limit: 2 });
        expect(page.items.map((item) => text(item.key.sort))).toEqual(["c", "e"]);
        const small = await store.scan({
          partition: at.partition,
          limit: 9,
          bytesMax: 1,
          reverse: true,
        });
        expect(small.items.map((item) => text(item.key.sort))).toEqual(["e"]);
      });

      test("law 5: an expired item is absent to a condition, and no version of it holds", async () => {
        await putExpiring();
        expect((await commit(put(at, { expect: "absent" }))).outcome).toBe("refused");
        await clock.advance(1_000);
        const turn = await commit(put(at, { expect: { version: "old" } }));
        expect(turn).toEqual({ outcome: "refused", current: [undefined] });
        const check = await commit({ kind: "check", key: at, expect: { version: "old" } });
        expect(check).toEqual({ outcome: "refused", current: [undefined] });
        expect(await commit(put(at, { expect: "absent", version: "new" }))).toEqual(applied);
        expect((await read(at))?.version).toBe("new");
      });

      test("law 5: an expired item that is still there is not vacant, and is handed back", async () => {
        const item = await putExpiring();
        await clock.advance(1_000);
        const result = await commit(put(at, { expect: "vacant" }));
        expect(result).toEqual({ outcome: "refused", current: [item] });
        const mixed = await commit(
          { kind: "check", key: at, expect: "absent" },
          { kind: "check", key: key("p", "none"), expect: { version: "none" } },
        );
        expect(mixed).toEqual({ outcome: "refused", current: [undefined, undefined] });
      });

      test("law 5: a put without expiry over an expired item stays", async () => {
        await putExpiring();
        await clock.advance(1_000);
        await commit(put(at, { version: "new" }));
        await clock.advance(10_000);
        expect(await read(at)).toEqual({ key: at, value: bytes("value"), version: "new" });
      });
    });

    describe("law 6", () => {
      const violates = async (run: () => Promise<unknown>) => {
        await expect((async () => run())()).rejects.toBeInstanceOf(InvariantViolation);
      };
      const sized = (sort: string, length: number) =>
        put(key("p", sort), { value: new Uint8Array(length) });
      const many = (count: number) =>
        Array.from({ length: count }, (_, i) => put(key("p", `${i}`)));

      test("law 6: a commit that breaks a limit throws and stores nothing", async () => {
        const good = () => put(key("p", "good"));
        const broken: Write[][] = [
          [],
          many(101),
          [put(key("", "s"))],
          [put(key("p".repeat(256), "s"))],
          [put(key("p", ""))],
          [put(key("p", "s".repeat(1_025)))],
          [{ kind: "delete", key: key("p", "") }],
          [put(key("p", "s"), { version: "" })],
          [put(key("p", "s"), { version: "v".repeat(33) })],
          [put(key("p", "s"), { version: "ü" })],
          [sized("s", 400 * 1_024)],
          Array.from({ length: 11 }, (_, i) => sized(`${i}`, 399 * 1_024)),
          [put(key("p", "s")), { kind: "check", key: key("p", "s"), expect: "absent" }],
        ];
        for (const writes of broken) {
          await violates(() => commit(...writes));
          if (writes.length > 0 && writes.length < 100)
            await violates(() => commit(good(), ...writes));
        }
        expect((await scanned({ limit: 9 })).sorts).toEqual([]);
      });

      test("law 6: a commit of just that size is applied", async () => {
        expect(await commit(...many(100))).toEqual(applied);
        const nearly = Array.from({ length: 10 }, (_, i) => sized(`big-${i}`, 399 * 1_024));
        expect(await commit(...nearly)).toEqual(applied);
        expect((await scanned({ limit: 1_000 })).sorts).toHaveLength(110);
      });

      test("law 6: a read that breaks a limit throws", async () => {
        const keys = Array.from({ length: 101 }, (_, i) => key("p", `${i}`));
        await violates(() => store.get(keys));
        await violates(() => store.get([key("p", "")]));
        expect(await store.get(keys.slice(1))).toHaveLength(100);
        const partition = bytes("p");
        await violates(() => store.scan({ partition: bytes(""), limit: 1 }));
        await violates(() => store.scan({ partition, limit: 0 }));
        await violates(() => store.scan({ partition, limit: 1_001 }));
        await violates(() => store.scan({ partition, limit: 1.5 }));
      });
    });

    describe("law 7", () => {
      const at = key("p", "s");

      test("law 7: a commit whose time is past is never applied", async () => {
        const late = store.commit([put(at)], clock.now() - 1);
        await expect(late).rejects.toBeInstanceOf(Unavailable);
        expect(await read(at)).toBeUndefined();
      });

      test("law 7: a commit at the very instant is in time", async () => {
        expect(await store.commit([put(at)], clock.now())).toEqual(applied);
      });

      test("law 7: commits made at once keep their own times", async () => {
        const results = await Promise.allSettled([
          store.commit([put(key("p", "1"))], soon()),
          store.commit([put(key("p", "2"))], clock.now() - 1),
          store.commit([put(key("p", "3"))], soon()),
        ]);
        expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
        expect((await scanned({ limit: 9 })).sorts.map((s) => text(Uint8Array.from(s)))).toEqual([
          "1",
          "3",
        ]);
      });
    });
  });
}

/** One byte a character, so that any byte can be written. */
function bytes(characters: string): Uint8Array {
  return Uint8Array.from(characters, (character) => character.charCodeAt(0));
}

function text(from: Uint8Array): string {
  return String.fromCharCode(...from);
}

function key(partition: string, sort: string): Key {
  return { partition: bytes(partition), sort: bytes(sort) };
}
