import { afterEach, beforeEach, describe, expect } from "vitest";
import { InvariantViolation } from "../../src/broker/assert.ts";
import type { Blobs } from "../../src/broker/ports/blobs.ts";
import { contractCases, type Skip } from "./cases.ts";

export interface BlobsUnderTest {
  readonly blobs: Blobs;
  /** A second handle on the same blobs, as another process would have it. */
  readonly other?: Blobs;
  close?(): Promise<void>;
}

export interface BlobsContractOptions {
  create(): Promise<BlobsUnderTest>;
  readonly skip?: readonly Skip[];
}

/** Every law of the blobs port, on one adapter. */
export function runBlobsContract({ create, skip = [] }: BlobsContractOptions): void {
  const test = contractCases(skip);

  describe("blobs contract", () => {
    let under: BlobsUnderTest;
    let blobs: Blobs;

    beforeEach(async () => {
      under = await create();
      blobs = under.blobs;
    });
    afterEach(() => under.close?.());

    const putAll = async (keys: readonly string[]) => {
      for (const key of keys) expect(await blobs.put(key, bytes(key))).toBe("stored");
    };
    const listed = async (prefix: string, after?: string, limit = 1_000) => {
      const page = await blobs.list(prefix, { limit, ...(after === undefined ? {} : { after }) });
      return { keys: page.blobs.map(({ key }) => key), more: page.more };
    };

    test("law 1: a second put is answered exists and the first bytes stay", async () => {
      expect(await blobs.put("a", bytes("first"))).toBe("stored");
      expect(await blobs.put("a", bytes("second"))).toBe("exists");
      expect(await blobs.put("a", bytes("first"))).toBe("exists");
      expect(await blobs.get("a")).toEqual(bytes("first"));
    });

    test("law 1: of 20 puts at once of one key exactly one is stored", async () => {
      const contents = Array.from({ length: 20 }, (_, i) => new Uint8Array(50_000).fill(i));
      const answers = await Promise.all(contents.map((content) => blobs.put("a/b", content)));
      expect(answers.filter((answer) => answer === "stored")).toHaveLength(1);
      const stored = contents[answers.indexOf("stored")] ?? bytes("");
      expect(Buffer.compare((await blobs.get("a/b")) ?? bytes(""), stored)).toBe(0);
    });

    test("law 1: keys that differ in case or length or by a slash are different blobs", async () => {
      const long = "x".repeat(512);
      const keys = [
        "a",
        "A",
        "a/b",
        "a/B",
        "a/b/c",
        "a.",
        "a-",
        long,
        long.slice(1),
        "X".repeat(512),
      ];
      await putAll(keys);
      for (const key of keys) expect(await blobs.get(key)).toEqual(bytes(key));
    });

    test("law 2: what was stored is seen by every later get and list, everywhere", async () => {
      for (const key of ["k/1", "k/2"]) {
        expect(await blobs.put(key, bytes(key))).toBe("stored");
        for (const at of [blobs, under.other ?? blobs]) {
          expect(await at.get(key)).toEqual(bytes(key));
          expect((await at.list("k/", { limit: 9 })).blobs).toContainEqual({ key, bytes: 3 });
        }
      }
    });

    test("law 2: a blob is seen whole or not at all while it is put", async () => {
      const content = new Uint8Array(4_000_000).fill(7);
      let done = false;
      const put = blobs.put("big", content).then(() => {
        done = true;
      });
      while (!done) {
        const seen = await blobs.get("big");
        if (seen) expect(seen.length).toBe(content.length);
        for (const blob of (await blobs.list("", { limit: 9 })).blobs) {
          expect(blob).toEqual({ key: "big", bytes: content.length });
        }
        // Gives the put its turn also where the reads need none.
        await new Promise((resolve) => setImmediate(resolve));
      }
      await put;
      expect(Buffer.compare((await blobs.get("big")) ?? bytes(""), content)).toBe(0);
    });

    test("law 2: neither the caller's buffer nor what was read is the blob itself", async () => {
      const content = bytes("content");
      await blobs.put("a", content);
      content.fill(0);
      (await blobs.get("a"))?.fill(0);
      expect(await blobs.get("a")).toEqual(bytes("content"));
    });

    test("law 2: there is nothing where nothing was put", async () => {
      await blobs.put("a/b", bytes("x"));
      for (const key of ["a", "b", "a/b/c", "a/c"]) expect(await blobs.get(key)).toBeUndefined();
      await blobs.put("empty", bytes(""));
      expect(await blobs.get("empty")).toEqual(bytes(""));
    });

    test("law 3: a range is cut at the end, and is empty from there on", async () => {
      await blobs.put("a", bytes("0123456789"));
      const range = async (start: number, length: number) => blobs.get("a", { start, length });
      expect(await range(0, 10)).toEqual(bytes("0123456789"));
      expect(await range(2, 3)).toEqual(bytes("234"));
      expect(await range(8, 5)).toEqual(bytes("89"));
      expect(await range(10, 5)).toEqual(bytes(""));
      expect(await range(99, 5)).toEqual(bytes(""));
      expect(await range(3, 0)).toEqual(bytes(""));
      expect(await blobs.get("none", { start: 0, length: 1 })).toBeUndefined();
    });

    test("law 4: a list is ordered as bytes, also where folders would order otherwise", async () => {
      const long = "y".repeat(300);
      const keys = [
        "a/b",
        "a",
        "a-b",
        "a.b",
        "a0",
        "a/",
        "B",
        "_",
        "a/-",
        `${long}/z`,
        `${long}-`,
        `${long}0`,
        long,
        "a/b/c",
      ].filter((key) => !key.endsWith("/"));
      await putAll(keys);
      expect(await listed("")).toEqual({ keys: [...keys].sort(), more: false });
    });

    test("law 4: a list has the keys that begin with the prefix, wherever it ends", async () => {
      await putAll(["ab/c", "ab/cd/e", "ab/d", "abc", "b", "AB/c"]);
      expect((await listed("ab")).keys).toEqual(["ab/c", "ab/cd/e", "ab/d", "abc"]);
      expect((await listed("ab/")).keys).toEqual(["ab/c", "ab/cd/e", "ab/d"]);
      expect((await listed("ab/c")).keys).toEqual(["ab/c", "ab/cd/e"]);
      expect((await listed("ab/c", "ab/c")).keys).toEqual(["ab/cd/e"]);
      expect(await listed("x")).toEqual({ keys: [], more: false });
    });

    test("law 4: pages of any size show every key once, and the last says so", async () => {
      const keys = ["a", "a/1", "a/2", "a/2/x", "a0", "b/1", "b/2"];
      await putAll(keys);
      for (const limit of [1, 2, 3, 7, 8]) {
        const seen: string[] = [];
        while (seen.length < keys.length) {
          const page = await listed("", seen.at(-1), limit);
          expect(page.keys).toHaveLength(Math.min(limit, keys.length - seen.length));
          seen.push(...page.keys);
          expect(page.more).toBe(seen.length < keys.length);
        }
        expect(seen).toEqual(keys);
      }
    });

    test("law 5: delete removes a blob, and succeeds where there is none", async () => {
      await blobs.put("a/b", bytes("1"));
      await blobs.delete("a/b");
      await blobs.delete("a/b");
      await blobs.delete("a");
      await blobs.delete("none/x");
      expect(await blobs.get("a/b")).toBeUndefined();
      expect((await listed("")).keys).toEqual([]);
      expect(await blobs.put("a/b", bytes("2"))).toBe("stored");
    });

    test("law 4: a malformed key or limit is a bug and touches nothing", async () => {
      const violates = async (run: () => Promise<unknown>) => {
        await expect((async () => run())()).rejects.toBeInstanceOf(InvariantViolation);
      };
      for (const key of [
        "",
        "/a",
        "a/",
        "a//b",
        "..",
        "a/../b",
        "./a",
        "a b",
        "a\0",
        "ü",
        "x".repeat(513),
      ]) {
        await violates(() => blobs.put(key, bytes("x")));
        await violates(() => blobs.get(key));
        await violates(() => blobs.delete(key));
      }
      for (const limit of [0, 1_001, 1.5]) await violates(() => blobs.list("", { limit }));
      expect((await listed("")).keys).toEqual([]);
    });
  });
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
