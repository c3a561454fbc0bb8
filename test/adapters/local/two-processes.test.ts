import { type ChildProcessByStdio, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FileBlobs } from "../../../src/adapters/local/file-blobs.ts";
import { LmdbStore } from "../../../src/adapters/local/lmdb-store.ts";
import { LocalAlarm } from "../../../src/adapters/local/local-alarm.ts";
import { SystemClock } from "../../../src/adapters/local/system-clock.ts";
import { SystemRandom } from "../../../src/adapters/local/system-random.ts";
import type { Write } from "../../../src/broker/ports/store.ts";
import { makeTemporaryFolder, type TemporaryFolder } from "./temporary-folder.ts";

const script = fileURLToPath(new URL("child.ts", import.meta.url));
const clock = new SystemClock();
const limitMs = 60_000;

describe("several processes on one data folder", () => {
  let folder: TemporaryFolder;
  let children: Child[];

  beforeEach(async () => {
    folder = await makeTemporaryFolder();
    children = [];
  });
  afterEach(async () => {
    for (const child of children) child.kill();
    await folder.remove();
  });

  const start = async (task: string, name: string, options?: { fileBlocksMax: number }) => {
    const child = new Child([task, folder.path, name], options?.fileBlocksMax);
    children.push(child);
    expect(await child.hear()).toBe("ready");
    return child;
  };
  const startTwo = async (task: string) => {
    const two = await Promise.all([start(task, "A"), start(task, "B")]);
    for (const child of two) child.go();
    return two;
  };
  const openStore = () => LmdbStore.open({ path: join(folder.path, "store.mdb"), clock });
  const key = (partition: string, sort: string) => ({
    partition: bytes(partition),
    sort: bytes(sort),
  });

  it("lose no increment of a counter that both change by compare-and-set", {
    timeout: limitMs,
  }, async () => {
    for (const child of await startTwo("count")) expect(await child.hear()).toBe("counted");
    const store = await openStore();
    const [item] = await store.get([key("counter", "c")]);
    expect(item && Buffer.from(item.value).toString()).toBe("400");
    await store.close();
  });

  it("never both win a key, and each sees at once what the other has won", {
    timeout: limitMs,
  }, async () => {
    const [a, b] = await startTwo("race");
    const won = [await a?.hear(), await b?.hear()] as number[][];
    expect(won.flat().sort((x, y) => x - y)).toEqual(Array.from({ length: 200 }, (_, i) => i));
    const store = await openStore();
    for (const [i, name] of ["A", "B"].entries()) {
      for (const n of won[i] ?? []) {
        const [item] = await store.get([key("race", `${n}`)]);
        expect(item?.version).toBe(`${name}-${n}`);
      }
    }
    await store.close();
  });

  it("remove what has long expired, and nothing that either has put anew", {
    timeout: limitMs,
  }, async () => {
    const [a, b] = await startTwo("expire");
    expect([await a?.hear(), await b?.hear()]).toEqual([[], []]);
    const store = await openStore();
    let from: Uint8Array | undefined;
    do ({ next: from } = await store.removeExpired({ from, now: clock.now() }));
    while (from !== undefined);
    const anew = await store.scan({ partition: bytes("expire"), limit: 1_000 });
    expect(anew.items.map(({ version }) => version)).toEqual(Array(400).fill("new"));
    for (const name of ["A", "B"]) {
      const checks: Write[] = Array.from({ length: 100 }, (_, i) => ({
        kind: "check",
        key: key("left", `${2 * i}-${name}`),
        expect: "vacant",
      }));
      expect(await store.commit(checks, clock.now() + 10_000)).toEqual({ outcome: "applied" });
    }
    await store.close();
  });

  it("never both store a blob", { timeout: limitMs }, async () => {
    const [a, b] = await startTwo("blobs");
    const stored = [await a?.hear(), await b?.hear()] as number[][];
    expect(stored.flat().sort((x, y) => x - y)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    const blobs = await FileBlobs.open({ folder: folder.path, clock });
    for (const [i, name] of ["A", "B"].entries()) {
      for (const n of stored[i] ?? []) {
        expect(await blobs.get(`race/${n}`)).toEqual(bytes(`${name} ${n}`));
      }
    }
  });

  it("ring each other's alarms, also those of a process that was killed", {
    timeout: limitMs,
  }, async () => {
    const store = await openStore();
    let rung = (_: number): void => {};
    const ringing = new Promise<number>((resolve) => {
      rung = resolve;
    });
    const alarm = new LocalAlarm({
      store,
      clock,
      random: new SystemRandom(),
      ring: async () => rung(clock.now()),
      onError: () => {},
    });
    alarm.start();
    const child = await start("setAlarm", "A");
    const before = clock.now();
    child.go();
    expect(await child.hear()).toBe("set");
    child.kill();
    expect((await ringing) - before).toBeGreaterThanOrEqual(1_500);
    await alarm.close();
    expect((await store.scan({ partition: bytes("alarms"), limit: 9 })).items).toEqual([]);
    await store.close();
  });

  it("find after a kill all that was acknowledged", { timeout: limitMs }, async () => {
    const acknowledged: number[] = [];
    for (let round = 0; round < 2; round++) {
      const child = await start("write", "A");
      child.go();
      while (acknowledged.length < 150 * (round + 1))
        acknowledged.push((await child.hear()) as number);
      child.kill();
      const store = await openStore();
      const blobs = await FileBlobs.open({ folder: folder.path, clock });
      for (const n of acknowledged) {
        const [item] = await store.get([key("k", `${n}`)]);
        expect(item?.value).toEqual(bytes(`${n}`.repeat(100)));
        expect(await blobs.get(`k/${n}`)).toEqual(bytes(`${n}`));
      }
      await store.close();
    }
  });

  it("hear Unavailable from a full disk, with nothing done, and can go on", {
    timeout: limitMs,
  }, async () => {
    const child = await start("fill", "A", { fileBlocksMax: 2_048 });
    child.go();
    const said = (await child.hear()) as { applied: number };
    expect(said).toEqual({
      applied: said.applied,
      unavailable: true,
      last: true,
      failed: false,
      deleted: "applied",
      replaced: "applied",
    });
    expect(said.applied).toBeGreaterThan(5);
    expect(said.applied).toBeLessThan(100);
  });
});

class Child {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  constructor(args: readonly string[], fileBlocksMax?: number) {
    const node = [process.execPath, "--import", "tsx", script, ...args];
    // With the signal ignored, a file that would become too large is an error of the write.
    const limit = `trap '' XFSZ; ulimit -f ${fileBlocksMax}; exec "$@"`;
    const [command = "", ...rest] =
      fileBlocksMax === undefined ? node : ["bash", "-c", limit, "bash", ...node];
    this.#process = spawn(command, rest, { stdio: ["pipe", "pipe", "ignore"] });
    this.#process.stdin.on("error", () => {});
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  go(): void {
    this.#process.stdin.write("go\n");
  }

  /** The next thing that it says. */
  async hear(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("the child ended");
    return JSON.parse(value);
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }
}

function bytes(characters: string): Uint8Array {
  return new TextEncoder().encode(characters);
}
