import { describe, expect, it } from "vitest";
import type { Fault } from "../../../src/adapters/faulty/faults.ts";
import { FaultyAlarm, faultyRing } from "../../../src/adapters/faulty/faulty-alarm.ts";
import { ManualClock } from "../../../src/adapters/memory/manual-clock.ts";
import { MemoryAlarm } from "../../../src/adapters/memory/memory-alarm.ts";
import type { AlarmId } from "../../../src/broker/ports/alarm.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import { type AlarmUnderTest, runAlarmContract } from "../../contract/alarm.contract.ts";

type Ring = (id: AlarmId) => Promise<void>;
const memoryDies = {
  reason: "the memory alarm in it dies with its process",
  cases: ["law 1: it rings also when the process that set it is gone"],
};

describe("without faults", () => {
  runAlarmContract({
    create: async (clock, ring) => underTest(clock, ring, () => "none"),
    skip: [memoryDies],
  });
});

describe("with every call and ring made twice", () => {
  runAlarmContract({
    create: async (clock, ring) => underTest(clock, ring, () => "duplicate"),
    skip: [
      memoryDies,
      {
        reason: "each rings twice",
        cases: ["law 4: what is set while it rings stays and rings too"],
      },
    ],
  });
});

function underTest(clock: ManualClock, ring: Ring, plan: () => Fault): AlarmUnderTest {
  let alive = true;
  const faults = { plan, clock };
  const livingRing: Ring = async (id) => (alive ? ring(id) : undefined);
  const inner = new MemoryAlarm({ clock, ring: faultyRing(livingRing, faults) });
  return {
    alarm: new FaultyAlarm(inner, faults),
    async replace() {
      alive = false;
      return underTest(clock, ring, plan);
    },
  };
}

describe("FaultyAlarm", () => {
  const runWith = async (callFault: Fault, ringFault: Fault) => {
    const clock = new ManualClock();
    const start = clock.now();
    const rings: number[] = [];
    const ringFaults = [ringFault];
    const ring = faultyRing(async () => void rings.push(clock.now() - start), {
      plan: () => ringFaults.pop() ?? "none",
      clock,
    });
    const alarm = new FaultyAlarm(new MemoryAlarm({ clock, ring }), {
      plan: () => callFault,
      clock,
    });
    const error = await alarm.set("a", start + 100).catch((e: unknown) => e);
    await clock.advance(10_000);
    return { error, rings };
  };

  it("sets nothing, or sets and loses the reply", async () => {
    for (const [fault, rings] of [
      ["refuse", []],
      ["fail-before", []],
      ["fail-after", [100]],
    ] as const) {
      const result = await runWith(fault, "none");
      expect(result.error).toBeInstanceOf(Unavailable);
      expect(result.rings).toEqual(rings);
    }
  });

  it("rings late, twice, or again after a failure", async () => {
    expect((await runWith("none", { delayMs: 500 })).rings).toEqual([600]);
    expect((await runWith("none", "duplicate")).rings).toEqual([100, 100]);
    expect((await runWith("none", "fail-before")).rings).toEqual([1_100]);
    expect((await runWith("none", "fail-after")).rings).toEqual([100, 1_100]);
  });
});
