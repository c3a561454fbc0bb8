import { describe, expect, it } from "vitest";
import type { Fault } from "../../../src/adapters/faulty/faults.ts";
import { FaultyStore } from "../../../src/adapters/faulty/faulty-store.ts";
import { ManualClock } from "../../../src/adapters/memory/manual-clock.ts";
import { MemoryStore } from "../../../src/adapters/memory/memory-store.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import type { Write } from "../../../src/broker/ports/store.ts";
import { runStoreContract } from "../../contract/store.contract.ts";

describe("without faults", () => {
  runStoreContract({ create: (clock) => storeWith(clock, () => "none") });
});

describe("with every commit made twice", () => {
  runStoreContract({
    create: (clock) => storeWith(clock, () => "duplicate"),
  });
});

async function storeWith(clock: ManualClock, plan: () => Fault) {
  return { store: new FaultyStore(new MemoryStore(clock), { plan, clock }) };
}

describe("FaultyStore", () => {
  const clock = new ManualClock();
  const key = { partition: Uint8Array.of(1), sort: Uint8Array.of(1) };
  const write: Write = { kind: "put", key, value: Uint8Array.of(), version: "1", expect: "absent" };

  const underFault = (fault: Fault) => {
    const inner = new MemoryStore(clock);
    const store = new FaultyStore(inner, { plan: () => fault, clock });
    const stored = async () => (await inner.get([key]))[0] !== undefined;
    return { store, stored };
  };
  const commit = (store: FaultyStore, until = clock.now()) => store.commit([write], until);

  it("refuse: throws Unavailable and does nothing", async () => {
    const { store, stored } = underFault("refuse");
    await expect(commit(store)).rejects.toBeInstanceOf(Unavailable);
    await expect(store.get([key])).rejects.toBeInstanceOf(Unavailable);
    expect(await stored()).toBe(false);
  });

  it("fail-before: leaves a commit unknown and undone, and a read unavailable", async () => {
    const { store, stored } = underFault("fail-before");
    expect(await commit(store)).toEqual({ outcome: "unknown" });
    expect(await stored()).toBe(false);
    await expect(store.get([key])).rejects.toBeInstanceOf(Unavailable);
    const page = store.scan({ partition: key.partition, limit: 1 });
    await expect(page).rejects.toBeInstanceOf(Unavailable);
  });

  it("fail-after: leaves a commit unknown and done, and a read unavailable", async () => {
    const { store, stored } = underFault("fail-after");
    expect(await commit(store)).toEqual({ outcome: "unknown" });
    expect(await stored()).toBe(true);
    await expect(store.get([key])).rejects.toBeInstanceOf(Unavailable);
  });

  it("duplicate: commits twice and hears applied, because the second knows the first", async () => {
    const { store, stored } = underFault("duplicate");
    expect(await commit(store)).toEqual({ outcome: "applied" });
    expect(await stored()).toBe(true);
  });

  it("duplicate: refuses a conditional delete, which carries no version to be known by", async () => {
    const { store, stored } = underFault("duplicate");
    await commit(store);
    const remove: Write = { kind: "delete", key, expect: { version: "1" } };
    const result = await store.commit([remove], clock.now());
    expect(result).toEqual({ outcome: "refused", current: [undefined] });
    expect(await stored()).toBe(false);
  });

  it("delay: commits later, and not at all once its time is past", async () => {
    const { store, stored } = underFault({ delayMs: 100 });
    const inTime = commit(store, clock.now() + 100);
    await clock.advance(99);
    expect(await stored()).toBe(false);
    await clock.advance(1);
    expect(await inTime).toEqual({ outcome: "applied" });
    const late = commit(store, clock.now() + 99).catch((error: unknown) => error);
    await clock.advance(100);
    expect(await late).toBeInstanceOf(Unavailable);
  });
});
