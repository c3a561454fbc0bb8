import { afterEach, beforeEach, describe, expect } from "vitest";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { InvariantViolation } from "../../src/broker/assert.ts";
import type { Alarm, AlarmId } from "../../src/broker/ports/alarm.ts";
import { contractCases, type Skip } from "./cases.ts";

export interface AlarmUnderTest {
  readonly alarm: Alarm;
  /** Ends the alarm's process without a farewell and answers the alarm of the next one. */
  replace(): Promise<AlarmUnderTest>;
  close?(): Promise<void>;
}

export interface AlarmContractOptions {
  create(clock: ManualClock, ring: (id: AlarmId) => Promise<void>): Promise<AlarmUnderTest>;
  readonly skip?: readonly Skip[];
}

/** A ring that failed has come again within this time. */
const againMs = 5 * 60_000;

/** Every law of the alarm port, on one adapter. */
export function runAlarmContract({ create, skip = [] }: AlarmContractOptions): void {
  const test = contractCases(skip);

  describe("alarm contract", () => {
    let clock: ManualClock;
    let under: AlarmUnderTest;
    let alarm: Alarm;
    let rings: { id: AlarmId; at: number }[];
    let failures: number;
    let busyMs: number;

    beforeEach(async () => {
      clock = new ManualClock();
      rings = [];
      failures = 0;
      busyMs = 0;
      under = await create(clock, async (id) => {
        rings.push({ id, at: clock.now() });
        await clock.sleep(busyMs);
        if (failures-- > 0) throw new Error("the handler failed");
      });
      alarm = under.alarm;
    });
    afterEach(() => under.close?.());

    const ids = () => [...new Set(rings.map(({ id }) => id))];

    test("law 1: an alarm that was set rings", async () => {
      await alarm.set("a", clock.now() + 1_000);
      await alarm.set("b", clock.now() + 90_000);
      await clock.advance(100_000);
      expect(ids()).toEqual(["a", "b"]);
    });

    test("law 1: it rings also when the process that set it is gone", async () => {
      await alarm.set("a", clock.now() + 60_000);
      under = await under.replace();
      await clock.advance(70_000);
      expect(ids()).toEqual(["a"]);
    });

    test("law 1: a hundred alarms ring, each at its time", async () => {
      const start = clock.now();
      const due = Array.from({ length: 100 }, (_, i) => ({
        id: `a/${i}`,
        at: start + 100 * ((i * 37) % 100),
      }));
      for (const { id, at } of due) await alarm.set(id, at);
      await clock.advance(11_000);
      expect(ids()).toHaveLength(100);
      for (const { id, at } of due) {
        const rung = rings.find((ring) => ring.id === id);
        expect(rung?.at).toBeGreaterThanOrEqual(at);
        expect(rung?.at).toBeLessThanOrEqual(at + 1_000);
      }
    });

    test("law 1: one that is set later than others, for before them, rings at its time", async () => {
      await alarm.set("a", clock.now() + 600_000);
      await clock.advance(10_000);
      await alarm.set("b", clock.now() + 10_000);
      await clock.advance(20_000);
      expect(ids()).toEqual(["b"]);
    });

    test("law 2: it never rings before its instant", async () => {
      const at = clock.now() + 5_000;
      await alarm.set("a", at);
      await clock.advance(4_999);
      expect(rings).toEqual([]);
      await clock.advance(1_001);
      expect(rings[0]?.at).toBeGreaterThanOrEqual(at);
    });

    test("law 2: an instant that has passed rings at once", async () => {
      await alarm.set("now", clock.now());
      await alarm.set("past", clock.now() - 1_000_000);
      await clock.advance(10);
      expect(ids().sort()).toEqual(["now", "past"]);
    });

    test("law 4: a later instant replaces an earlier one, and the other way round", async () => {
      const start = clock.now();
      await alarm.set("later", start + 1_000);
      await alarm.set("later", start + 60_000);
      await alarm.set("earlier", start + 60_000);
      await alarm.set("earlier", start + 2_000);
      await clock.advance(10_000);
      expect(ids()).toEqual(["earlier"]);
      await clock.advance(60_000);
      expect(rings.find(({ id }) => id === "later")?.at).toBeGreaterThanOrEqual(start + 60_000);
    });

    test("law 4: what is set while it rings stays and rings too", async () => {
      const start = clock.now();
      busyMs = 10_000;
      await alarm.set("a", start + 1_000);
      await alarm.set("b", start + 1_000);
      await clock.advance(5_000);
      await alarm.set("a", start + 60_000);
      await alarm.set("b", start + 6_000);
      await clock.advance(50_000);
      expect(rings.filter(({ id }) => id === "b")).toHaveLength(2);
      expect(rings.filter(({ id, at }) => id === "a" && at > start + 2_000)).toEqual([]);
      await clock.advance(10_000);
      expect(rings.filter(({ id, at }) => id === "a" && at >= start + 60_000)).toHaveLength(1);
    });

    test("law 5: a cancelled alarm does not ring, and others do", async () => {
      await alarm.set("a", clock.now() + 5_000);
      await alarm.set("b", clock.now() + 5_000);
      await clock.advance(1_000);
      await alarm.cancel("a");
      await alarm.cancel("a");
      await alarm.cancel("unknown");
      await clock.advance(10_000);
      expect(ids()).toEqual(["b"]);
    });

    test("law 6: a ring whose handler fails comes again, until it succeeds", async () => {
      failures = 2;
      await alarm.set("a", clock.now() + 1_000);
      await clock.advance(3 * againMs);
      expect(rings.length).toBeGreaterThanOrEqual(3);
      expect(failures).toBeLessThan(0);
    });

    test("law 3: whose handler succeeded rings no more", async () => {
      await alarm.set("a", clock.now() + 1_000);
      await clock.advance(againMs);
      const before = rings.length;
      await clock.advance(10 * againMs);
      expect(rings).toHaveLength(before);
    });

    test("law 4: a malformed id is a bug", async () => {
      for (const id of ["", "a b", "ü", "x".repeat(129)]) {
        const set = (async () => alarm.set(id, 0))();
        await expect(set).rejects.toBeInstanceOf(InvariantViolation);
        const cancel = (async () => alarm.cancel(id))();
        await expect(cancel).rejects.toBeInstanceOf(InvariantViolation);
      }
    });
  });
}
