import { describe, expect, it } from "vitest";
import { type Fault, randomFaults } from "../../../src/adapters/faulty/faults.ts";

const rates = {
  refuse: 0.1,
  failBefore: 0.1,
  failAfter: 0.1,
  duplicate: 0.1,
  delay: 0.1,
  delayMsMax: 9,
};

describe("randomFaults", () => {
  const drawn = (seed: number, count = 10_000): Fault[] => {
    const plan = randomFaults({ random: seed, rates });
    return Array.from({ length: count }, () => plan({ port: "store", method: "commit" }));
  };

  it("draws the same faults for the same seed, others for another", () => {
    expect(drawn(7, 100)).toEqual(drawn(7, 100));
    expect(drawn(7, 100)).not.toEqual(drawn(8, 100));
  });

  it("keeps to the rates", () => {
    const faults = drawn(1);
    for (const fault of ["refuse", "fail-before", "fail-after", "duplicate"] as const) {
      const count = faults.filter((drawnFault) => drawnFault === fault).length;
      expect(count).toBeGreaterThan(850);
      expect(count).toBeLessThan(1_150);
    }
    const delays = faults.flatMap((fault) => (typeof fault === "object" ? [fault.delayMs] : []));
    expect(delays.length).toBeGreaterThan(850);
    expect([...new Set(delays)].sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("draws none where no rate is given", () => {
    const plan = randomFaults({ random: () => 0, rates: {} });
    expect(plan({ port: "blobs", method: "get" })).toBe("none");
  });
});
