import { join } from "node:path";
import { FileBlobs } from "../../../src/adapters/local/file-blobs.ts";
import { expiredKeptMs, LmdbStore } from "../../../src/adapters/local/lmdb-store.ts";
import { LocalAlarm } from "../../../src/adapters/local/local-alarm.ts";
import { SystemClock } from "../../../src/adapters/local/system-clock.ts";
import { SystemRandom } from "../../../src/adapters/local/system-random.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import type { CommitResult, Key, Write } from "../../../src/broker/ports/store.ts";

/*
 * One of several processes on a data folder: `child.ts <task> <folder> <name>`. It writes `ready`,
 * waits for a line on its input, does its task and writes what came of it as lines of JSON.
 */
const [task = "", folder = "", name = ""] = process.argv.slice(2);
const clock = new SystemClock();
const store = await LmdbStore.open({ path: join(folder, "store.mdb"), clock });
const blobs = await FileBlobs.open({ folder, clock });

const tasks: Record<string, () => Promise<void>> = {
  async count() {
    const at = key("counter", "c");
    for (let done = 0; done < 200; ) {
      const [item] = await store.get([at]);
      const count = item ? Number(text(item.value)) : 0;
      const expect = item ? { version: item.version } : "absent";
      const version = `${name}-${done}-${count}`;
      const result = await commit({ ...put(at, `${count + 1}`, version), expect });
      if (result.outcome === "applied") done++;
    }
    say("counted");
  },

  async race() {
    const won: number[] = [];
    const filler = "x".repeat(5_000);
    for (let i = 0; i < 200; i++) {
      const write = put(key("race", `${i}`), name + filler, `${name}-${i}`);
      const result = await commit({ ...write, expect: "absent" });
      if (result.outcome === "applied") won.push(i);
      // Law 2: whoever won, both see the item at once.
      else if ((await store.get([write.key]))[0] === undefined) throw new Error("a stale read");
    }
    say(won);
  },

  /** Puts what has long expired and puts it anew, while both processes remove what has long expired. */
  async expire() {
    const lost: number[] = [];
    const expiresAt = clock.now() - 2 * expiredKeptMs;
    for (let i = 0; i < 200; i++) {
      const at = key("expire", `${i}-${name}`);
      await commit({ ...put(at, "old", "old"), expiresAt });
      await commit({ ...put(key("left", `${i}-${name}`), "old", "old"), expiresAt });
      const removing = store.removeExpired({ from: undefined, now: clock.now() });
      await commit(put(at, "new", "new"));
      await removing;
      if ((await store.get([at]))[0]?.version !== "new") lost.push(i);
    }
    say(lost);
  },

  async blobs() {
    const stored: number[] = [];
    for (let i = 0; i < 50; i++) {
      if ((await blobs.put(`race/${i}`, bytes(`${name} ${i}`))) === "stored") stored.push(i);
    }
    say(stored);
  },

  async setAlarm() {
    const ring = async () => {};
    const alarm = new LocalAlarm({ store, clock, random: new SystemRandom(), ring, onError: say });
    await alarm.set("left-behind", clock.now() + 1_500);
    say("set");
    await clock.sleep(600_000);
  },

  /** Until it is killed. It says only what was acknowledged. */
  async write() {
    for (let i = 0; ; i += 10) {
      const group = Array.from({ length: 10 }, (_, j) => i + j);
      await Promise.all(
        group.map(async (n) => {
          await commit(put(key("k", `${n}`), `${n}`.repeat(100), `${n}`));
          await blobs.put(`k/${n}`, bytes(`${n}`));
          say(n);
        }),
      );
    }
  },

  /** Runs against a limit on the size of files, as against a full disk. */
  async fill() {
    let applied = 0;
    let failure: unknown;
    while (failure === undefined && applied < 1_000) {
      try {
        const at = key("fill", `${applied}`);
        await commit(put(at, "x".repeat(50_000), `${applied}`));
        applied++;
      } catch (error) {
        failure = error;
      }
    }
    const [last, failed] = await store.get([
      key("fill", `${applied - 1}`),
      key("fill", `${applied}`),
    ]);
    // A failed group takes nothing with it: what needs no new pages still goes through.
    const deleted = await commit({ kind: "delete", key: key("fill", "0") });
    const replaced = await commit(put(key("fill", "1"), "small", "small"));
    say({
      applied,
      unavailable: failure instanceof Unavailable,
      last: last !== undefined,
      failed: failed !== undefined,
      deleted: deleted.outcome,
      replaced: replaced.outcome,
    });
  },
};

say("ready");
await new Promise((resolve) => process.stdin.once("data", resolve));
await tasks[task]?.();
process.exit(0);

function commit(write: Write): Promise<CommitResult> {
  return store.commit([write], clock.now() + 60_000);
}

function put(at: Key, value: string, version: string): Write & { kind: "put" } {
  return { kind: "put", key: at, value: bytes(value), version };
}

function key(partition: string, sort: string): Key {
  return { partition: bytes(partition), sort: bytes(sort) };
}

function bytes(characters: string): Uint8Array {
  return new TextEncoder().encode(characters);
}

function text(from: Uint8Array): string {
  return new TextDecoder().decode(from);
}

function say(what: unknown): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}
