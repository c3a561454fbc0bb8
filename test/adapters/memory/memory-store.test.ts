import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../src/adapters/memory/manual-clock.ts";
import { MemoryStore } from "../../../src/adapters/memory/memory-store.ts";
import { runStoreContract } from "../../contract/store.contract.ts";

runStoreContract({ create: async (clock) => ({ store: new MemoryStore(clock) }) });

describe("MemoryStore", () => {
  it("keeps expired items until they are removed, and then they are vacant", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore(clock);
    const key = { partition: Uint8Array.of(1), sort: Uint8Array.of(1) };
    const value = Uint8Array.of();
    const expiresAt = clock.now() + 1;
    await store.commit([{ kind: "put", key, value, version: "1", expiresAt }], clock.now());
    await clock.advance(1);
    const check = { kind: "check", key, expect: "vacant" } as const;
    expect((await store.commit([check], clock.now())).outcome).toBe("refused");
    store.removeExpired();
    expect((await store.commit([check], clock.now())).outcome).toBe("applied");
  });
});
