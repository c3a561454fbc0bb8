import { describe, expect, it } from "vitest";
import { randomFaults, seededRandom } from "../../../src/adapters/faulty/faults.ts";
import { hex } from "../../../src/broker/bytes.ts";
import { type ErrorCode, isBrokerError } from "../../../src/broker/errors.ts";
import { type Batch, readBatch } from "../../../src/broker/log/batch.ts";
import { Log } from "../../../src/broker/log/log.ts";
import type { Appended } from "../../../src/broker/log/pending-append.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import type { Ports } from "../../../src/broker/ports/ports.ts";
import { offsetKey, partitions, type QueueId } from "../../../src/broker/schema.ts";
import { batchOf } from "../../support/batches.ts";
import { HookedStore } from "../../support/hooked-store.ts";
import { behindFaults, memoryPorts } from "../../support/memory-ports.ts";
import { everythingIn, makeQueue } from "../../support/queues.ts";
import { othersActed, VirtualClock } from "../../support/virtual-clock.ts";

const settings = { groupBytesMax: 100_000, pollMs: 100 };
const seeds = Array.from({ length: 60 }, (_, index) => index + 1);

describe("appending by several brokers whose stores fail now and then", () => {
  it.each(seeds)(
    "puts what was acknowledged exactly once at its offset, and a batch with an id at most once (seed %i)",
    async (seed) => {
      const { io, queue, attempts } = await playChaos(seed);
      const landed = new Map<string, { base: number; count: number }[]>();
      let end = 0;
      for (const { base, batch } of await everythingIn(io, queue)) {
        expect(base, "offsets are dense").toBe(end);
        end = base + batch.count;
        const places = landed.get(hex(batch.id)) ?? [];
        landed.set(hex(batch.id), [...places, { base, count: batch.count }]);
      }
      for (const [id, places] of landed) expect(places, `batch ${id}`).toHaveLength(1);
      let acknowledged = 0;
      for (const { batch, answer } of attempts) {
        if (!("base" in answer)) {
          expect(forgivable(answer.error), `seed ${seed}: ${answer.error.stack}`).toBe(true);
          continue;
        }
        acknowledged++;
        expect(landed.get(hex(batch.id))).toEqual([{ base: answer.base, count: batch.count }]);
      }
      expect(acknowledged).toBeGreaterThan(attempts.length / 2);
    },
  );
});

describe("a batch with an id and the time of its first attempt", () => {
  it("lands once, whoever appends it again and however much came in between", async () => {
    const { io, queue } = await world();
    const batch = namedBatch(io, 1);
    const first = await newLog().append(io, queue, batch);
    const others = newLog();
    for (let index = 0; index < 300; index++) {
      await others.append(io, queue, namedBatch(io, 1_000 + index));
    }
    for (const pause of [0, 2_000, 60_000]) {
      io.clock.pass(pause);
      expect(await newLog().append(io, queue, batch)).toEqual(first);
      expect(await others.append(io, queue, batch)).toEqual(first);
    }
    expect(await everythingIn(io, queue)).toHaveLength(301);
  });

  it("lands once when the same request comes again at once at a broker that knows nothing", async () => {
    const { io, queue } = await world();
    for (let number = 1; number <= 20; number++) {
      const batch = namedBatch(io, number);
      const first = await newLog().append(io, queue, batch);
      expect(await newLog().append(io, queue, batch)).toEqual(first);
    }
    expect(await everythingIn(io, queue)).toHaveLength(20);
  });

  it("fails alone where the rows that it has to be looked for in are damaged", async () => {
    const { io, queue } = await world();
    const old = namedBatch(io, 1);
    const { base } = await newLog().append(io, queue, old);
    await damageRow(io, queue, base);
    for (let number = 2; number < 9; number++)
      await newLog().append(io, queue, namelessBatch(number, 1));
    const log = newLog();
    const [again, other] = await Promise.allSettled([
      log.append(io, queue, old),
      log.append(io, queue, namelessBatch(99, 1)),
    ]);
    expect(again).toMatchObject({ status: "rejected", reason: { code: "outcome_unknown" } });
    expect(other).toMatchObject({ status: "fulfilled", value: { base: 8 } });
  });

  it("lands once when several brokers append it at the same time", async () => {
    const { io, queue } = await world();
    const batch = namedBatch(io, 1, 3);
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => newLog().append(io, queue, batch)),
    );
    expect(new Set(answers.map(({ base }) => base))).toEqual(new Set([0]));
    expect(await everythingIn(io, queue)).toHaveLength(1);
  });

  it("lands once when it comes twice into one group commit", async () => {
    const { io, queue } = await world();
    const log = newLog();
    const batch = namedBatch(io, 1);
    const other = namedBatch(io, 2);
    const sent = [batch, other, batch, other, batch].map((each) => log.append(io, queue, each));
    const bases = (await Promise.all(sent)).map(({ base }) => base);
    expect(new Set(bases)).toEqual(new Set([0, 1]));
    expect(bases[0]).toBe(bases[2]);
    expect(await everythingIn(io, queue)).toHaveLength(2);
  });

  it("lands once when the first attempt arrives after its retry", async () => {
    const { io, queue } = await world();
    const batch = namedBatch(io, 1);
    io.clock.pass(1_200);
    const retried = await newLog().append(io, queue, batch);
    expect(await newLog().append(io, queue, batch)).toEqual(retried);
    expect(await everythingIn(io, queue)).toHaveLength(1);
  });

  it("is refused with another payload, before, at the same time and after", async () => {
    const { io, queue } = await world();
    const log = newLog();
    const batch = namedBatch(io, 1);
    const other = namedBatch(io, 1, 2);
    const [, together] = await Promise.allSettled([
      log.append(io, queue, batch),
      log.append(io, queue, other),
    ]);
    expect(together).toMatchObject({ reason: { code: "idempotency_key_reused" } });
    for (const broker of [log, newLog()]) {
      const again = broker.append(io, queue, other);
      await expect(again).rejects.toMatchObject({ code: "idempotency_key_reused" });
    }
    expect(await everythingIn(io, queue)).toHaveLength(1);
  });
});

describe("a batch without a first attempt", () => {
  it("lands as often as it is sent one after the other", async () => {
    const { io, queue } = await world();
    const log = newLog();
    const batch = readBatch(batchOf([{ body: Uint8Array.of(1) }]));
    for (const base of [0, 1, 2]) {
      expect(await log.append(io, queue, batch)).toMatchObject({ base });
    }
  });

  // Known: a group commit takes batches of one id for one, also those that did not ask for it.
  it("lands as often as it is sent at the same time", async () => {
    const { io, queue } = await world();
    const log = newLog();
    const batch = readBatch(batchOf([{ body: Uint8Array.of(1) }]));
    await Promise.all([1, 2, 3].map(() => log.append(io, queue, batch)));
    expect(await everythingIn(io, queue)).toHaveLength(3);
  });
});

describe("group commit", () => {
  it("puts what arrives while a commit is held back into few others, in its order", async () => {
    const { io, queue } = await world();
    const log = newLog();
    await log.append(io, queue, namedBatch(io, 1));
    const { store } = io;
    store.commits = 0;
    const release = store.holdCommits();
    const sent = [log.append(io, queue, namedBatch(io, 99))];
    await othersActed();
    for (let index = 0; index < 50; index++) {
      sent.push(log.append(io, queue, namedBatch(io, 100 + index)));
    }
    await othersActed();
    expect(store.commits).toBe(1);
    release();
    const bases = (await Promise.all(sent)).map(({ base }) => base);
    expect(bases).toEqual(Array.from({ length: 51 }, (_, index) => 1 + index));
    expect(store.commits).toBe(2);
  });

  it("has at most so many bytes as it is set to, unless a batch alone is larger", async () => {
    const { io, queue } = await world();
    const sizes: number[] = [];
    io.store.beforeCommit = async (writes) => {
      const values = writes.map((write) => (write.kind === "put" ? write.value.length : 0));
      sizes.push(values.reduce((sum, size) => sum + size, 0));
    };
    const log = newLog();
    const bodies = [40_000, 40_000, 40_000, 300_000, 10, 10];
    const sent = bodies.map((size, index) => {
      const id = new Uint8Array(16).fill(index);
      return log.append(io, queue, readBatch(batchOf([{ body: new Uint8Array(size) }], { id })));
    });
    const bases = (await Promise.all(sent)).map(({ base }) => base);
    expect(bases).toEqual([0, 1, 2, 3, 4, 5]);
    for (const size of sizes.filter((each) => each < 300_000)) expect(size).toBeLessThan(101_000);
    expect(sizes.length).toBeLessThanOrEqual(5);
  });
});

interface Attempt {
  readonly batch: Batch;
  readonly answer: Appended | { readonly error: Error };
}

/** Six producers send through four brokers. An impatient one tries again elsewhere while the first attempt is under way. */
async function playChaos(seed: number) {
  const io = memoryPorts(new VirtualClock(), { seed });
  const queue = await makeQueue(io);
  const draw = seededRandom(seed * 7_919);
  const rates = { refuse: 0.04, failBefore: 0.05, failAfter: 0.05, duplicate: 0.05, delay: 0.2 };
  const brokers = Array.from({ length: 4 }, (_, index) => {
    const faults = randomFaults({ random: draw, rates: { ...rates, delayMsMax: 3_000 } });
    const own = behindFaults(io, faults, seed * 100 + index);
    return { own, log: newLog() };
  });
  const attempts: Attempt[] = [];
  const pick = <T>(from: readonly T[]): T => from[Math.floor(draw() * from.length)] as T;

  async function attempt(batch: Batch): Promise<boolean> {
    const { own, log } = pick(brokers);
    try {
      attempts.push({ batch, answer: await log.append(own, queue, batch) });
      return true;
    } catch (error) {
      attempts.push({ batch, answer: { error: error as Error } });
      return false;
    }
  }

  async function sendOnce(batch: Batch): Promise<void> {
    const running: Promise<boolean>[] = [];
    let done = false;
    for (let number = 1; number <= 4 && !done; number++) {
      const answered = attempt(batch).then((ok) => {
        done ||= ok;
        return ok;
      });
      running.push(answered);
      // A retry comes soon or late, whether or not there was an answer by then.
      await Promise.all([io.clock.sleep(draw() * 1_000), draw() < 0.5 ? answered : undefined]);
    }
    await Promise.all(running);
  }

  async function produce(producer: number): Promise<void> {
    for (let index = 0; index < 10; index++) {
      const name = producer * 1_000 + index;
      const count = 1 + Math.floor(draw() * 4);
      if (draw() < 0.2) await attempt(namelessBatch(name, count));
      else await sendOnce(namedBatch(io, name, count));
      await io.clock.sleep(Math.floor(draw() * 50));
    }
  }

  await Promise.all(Array.from({ length: 6 }, (_, index) => produce(index + 1)));
  return { io, queue, attempts };
}

async function world() {
  const clock = new VirtualClock();
  const plain = memoryPorts(clock);
  const io = { ...plain, store: new HookedStore(plain.store) };
  const queue: QueueId = await makeQueue(io);
  return { io, queue };
}

function newLog(): Log {
  return new Log(settings);
}

function namedBatch(io: Ports, name: number, count = 1): Batch {
  return batchNamed(name, count, io.clock.now());
}

function namelessBatch(name: number, count: number): Batch {
  return batchNamed(name, count, 0);
}

function batchNamed(name: number, count: number, firstAttemptAt: number): Batch {
  const id = new Uint8Array(16);
  new DataView(id.buffer).setUint32(0, name);
  const messages = Array.from({ length: count }, (_, index) => ({ body: Uint8Array.of(1, index) }));
  return readBatch(batchOf(messages, { id, firstAttemptAt }));
}

const forgivableCodes: readonly ErrorCode[] = ["outcome_unknown", "contention"];

function forgivable(error: Error): boolean {
  return (
    error instanceof Unavailable || (isBrokerError(error) && forgivableCodes.includes(error.code))
  );
}

/** Flips a bit of a row's batch, as a bad disk would. */
async function damageRow(io: Ports, queue: QueueId, base: number): Promise<void> {
  const key = { partition: partitions.batches(queue, { base: 0, part: 0 }), sort: offsetKey(base) };
  const [item] = await io.store.get([key]);
  const value = Uint8Array.from(item?.value ?? []);
  value[value.length - 1] = (value.at(-1) ?? 0) ^ 1;
  await io.store.commit([{ kind: "put", key, value, version: "damage" }], io.clock.now() + 1);
}
