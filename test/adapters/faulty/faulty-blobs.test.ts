import { describe, expect, it } from "vitest";
import type { Fault } from "../../../src/adapters/faulty/faults.ts";
import { FaultyBlobs } from "../../../src/adapters/faulty/faulty-blobs.ts";
import { ManualClock } from "../../../src/adapters/memory/manual-clock.ts";
import { MemoryBlobs } from "../../../src/adapters/memory/memory-blobs.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import { runBlobsContract } from "../../contract/blobs.contract.ts";

runBlobsContract({
  async create() {
    const clock = new ManualClock();
    return { blobs: new FaultyBlobs(new MemoryBlobs(), { plan: () => "none", clock }) };
  },
});

describe("FaultyBlobs", () => {
  const content = Uint8Array.of(1);
  const underFault = (fault: Fault) => {
    const inner = new MemoryBlobs();
    return {
      inner,
      blobs: new FaultyBlobs(inner, { plan: () => fault, clock: new ManualClock() }),
    };
  };

  it("refuse: throws Unavailable and does nothing", async () => {
    const { inner, blobs } = underFault("refuse");
    await expect(blobs.put("a", content)).rejects.toBeInstanceOf(Unavailable);
    expect(await inner.get("a")).toBeUndefined();
  });

  it("fail-before and fail-after: leave a put unknown, undone or done", async () => {
    for (const fault of ["fail-before", "fail-after"] as const) {
      const { inner, blobs } = underFault(fault);
      expect(await blobs.put("a", content)).toBe("unknown");
      expect(await inner.get("a")).toEqual(fault === "fail-after" ? content : undefined);
      await expect(blobs.get("a")).rejects.toBeInstanceOf(Unavailable);
      await expect(blobs.list("", { limit: 1 })).rejects.toBeInstanceOf(Unavailable);
      await expect(blobs.delete("a")).rejects.toBeInstanceOf(Unavailable);
      expect(await inner.get("a")).toBeUndefined();
    }
  });

  it("duplicate: puts twice and hears the second answer", async () => {
    const { inner, blobs } = underFault("duplicate");
    expect(await blobs.put("a", content)).toBe("exists");
    expect(await inner.get("a")).toEqual(content);
    await blobs.delete("a");
    expect(await inner.get("a")).toBeUndefined();
  });
});
