import { describe, expect, it } from "vitest";
import { randomFaults } from "../../src/adapters/faulty/faults.ts";
import { compareAndSet } from "../../src/broker/compare-and-set.ts";
import { isBrokerError } from "../../src/broker/errors.ts";
import { Unavailable } from "../../src/broker/ports/failures.ts";
import type { Ports } from "../../src/broker/ports/ports.ts";
import { HookedStore } from "../support/hooked-store.ts";
import { behindFaults, memoryPorts } from "../support/memory-ports.ts";
import { VirtualClock } from "../support/virtual-clock.ts";

const key = { partition: Uint8Array.of(1), sort: Uint8Array.of(1) };

describe("compare and set", () => {
  it("adds each of many changes made at the same time once", async () => {
    const io = memoryPorts(new VirtualClock());
    const seen = await Promise.all(Array.from({ length: 5 }, () => addOne(io)));
    expect(seen.sort()).toEqual([1, 2, 3, 4, 5]);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "loses no change that it acknowledged when the store fails now and then (seed %i)",
    async (seed) => {
      const plain = memoryPorts(new VirtualClock(), { seed });
      const rates = { refuse: 0.1, failBefore: 0.1, failAfter: 0.1, duplicate: 0.1, delay: 0.2 };
      let sure = 0;
      await Promise.all(
        Array.from({ length: 4 }, async (_, index) => {
          const plan = randomFaults({ random: seed * 10 + index, rates });
          const io = behindFaults(plain, plan, seed * 10 + index);
          for (let step = 0; step < 10; step++) {
            try {
              await addOne(io);
              sure++;
            } catch (error) {
              const inDoubt = isBrokerError(error) && error.code === "outcome_unknown";
              if (!inDoubt && !(error instanceof Unavailable)) throw error;
            }
          }
        }),
      );
      const [item] = await plain.store.get([key]);
      // It may be more: a change whose reply was lost and on which others built is asked for again, so `change` has to
      // bear being applied twice.
      expect(item?.value[0]).toBeGreaterThanOrEqual(sure);
      expect(sure).toBeGreaterThan(20);
    },
  );

  it("spares the first read where the item is known, and reads it from the refusal where it is old", async () => {
    const plain = memoryPorts(new VirtualClock());
    const store = new HookedStore(plain.store);
    const io = { ...plain, store };
    await addOne(io);
    const [known] = await store.get([key]);
    store.reads = 0;
    expect(await addOne(io, known)).toBe(2);
    expect(await addOne(io, known)).toBe(3);
    expect(store).toMatchObject({ reads: 0, commits: 4 });
  });

  it("writes nothing where nothing is to be changed, and what goes along only with it", async () => {
    const plain = memoryPorts(new VirtualClock());
    const store = new HookedStore(plain.store);
    const io = { ...plain, store };
    const { result, version } = await compareAndSet(io, key, () => ({ unchanged: "as it was" }));
    expect([result, version, store.commits]).toEqual(["as it was", undefined, 0]);
    const along = { ...key, sort: Uint8Array.of(2) };
    const value = Uint8Array.of(9);
    await compareAndSet(io, key, () => ({
      value,
      along: [{ kind: "put", key: along, value, version: "along", expect: "absent" }],
      result: undefined,
    }));
    expect((await store.get([key, along])).map((item) => item?.value[0])).toEqual([9, 9]);
    expect(store.commits).toBe(1);
  });

  it("gives up where others are always faster", async () => {
    const plain = memoryPorts(new VirtualClock());
    const store = new HookedStore(plain.store);
    const busy = { ...plain, store };
    store.beforeCommit = async () => void (await addOne(plain));
    await expect(addOne(busy)).rejects.toMatchObject({ code: "contention" });
  });
});

async function addOne(io: Ports, known?: Parameters<typeof compareAndSet>[3]): Promise<number> {
  const { result } = await compareAndSet(
    io,
    key,
    (current) => {
      const next = (current?.value[0] ?? 0) + 1;
      return { value: Uint8Array.of(next), result: next };
    },
    known,
  );
  return result;
}
