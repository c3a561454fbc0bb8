import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ExpirySweep } from "../../../src/adapters/local/expiry-sweep.ts";
import type { ExpiryStart, ExpiryStep } from "../../../src/adapters/local/lmdb-store.ts";
import { ManualClock } from "../../../src/adapters/memory/manual-clock.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

describe("ExpirySweep", () => {
  let timers: ManualClock;
  /** How far somebody has set the wall clock, which no timer notices. */
  let setMs: number;
  let steps: { from: number | undefined; now: number; at: number }[];
  let errors: unknown[];
  /** What the store has: for each page whether something on it is removed. */
  let pages: readonly boolean[];
  let removing: () => Promise<void>;
  let sweep: ExpirySweep;

  const clock = {
    now: () => timers.now() + setMs,
    sleep: (ms: number, signal?: AbortSignal) => timers.sleep(ms, signal),
  };
  const removeExpired = async ({ from, now }: ExpiryStart): Promise<ExpiryStep> => {
    const page = from?.[0] ?? 0;
    steps.push({ from: from?.[0], now, at: timers.now() });
    await removing();
    const next = page + 1 < pages.length ? Uint8Array.of(page + 1) : undefined;
    return { removed: pages[page] ? 500 : 0, next };
  };

  beforeEach(() => {
    timers = new ManualClock();
    setMs = 0;
    steps = [];
    errors = [];
    pages = [false];
    removing = async () => {};
    sweep = new ExpirySweep({
      store: { removeExpired },
      clock,
      onError: (error) => errors.push(error),
    });
    sweep.start();
  });
  afterEach(async () => {
    await sweep.close();
    expect(errors).toEqual([]);
  });

  it("removes nothing in its first hour", async () => {
    await timers.advance(hour - 1);
    expect(steps).toEqual([]);
    await timers.advance(1);
    expect(steps).toHaveLength(1);
    expect(steps[0]?.now).toBe(clock.now());
  });

  it("walks from page to page to the end, and again a day later", async () => {
    pages = [false, false, false];
    await timers.advance(hour + minute);
    expect(steps.map(({ from }) => from)).toEqual([undefined, 1, 2]);
    await timers.advance(day - 2 * minute);
    expect(steps).toHaveLength(3);
    await timers.advance(2 * minute);
    expect(steps.map(({ from }) => from)).toEqual([undefined, 1, 2, undefined, 1, 2]);
  });

  it("rests a second behind a page that it leaves as it is, and less behind one with something to remove", async () => {
    pages = [false, true, true, false, false];
    await timers.advance(hour + minute);
    const rests = steps.map(({ at }, i) => at - (steps[i - 1]?.at ?? at)).slice(1);
    expect(rests).toEqual([1_000, 100, 100, 1_000]);
  });

  it.each([hour + minute, 1_000 * day, -hour - minute])(
    "waits for a steady hour when the clock jumps by %i ms, and goes on where it was",
    async (jumpMs) => {
      pages = Array.from({ length: 20 }, () => false);
      await timers.advance(hour + 4_000);
      expect(steps).toHaveLength(5);
      setMs += jumpMs;
      await timers.advance(hour);
      expect(steps).toHaveLength(5);
      await timers.advance(2 * minute);
      expect(steps.map(({ from = 0 }) => from)).toEqual(pages.map((_, i) => i));
      const waitedMs = (steps[5]?.at ?? 0) - (steps[4]?.at ?? 0);
      expect(waitedMs).toBeGreaterThanOrEqual(hour);
      expect(steps[5]?.now).toBe((steps[4]?.now ?? 0) + jumpMs + waitedMs);
    },
  );

  it("starts the hour anew when the clock jumps within it, also when it is set right", async () => {
    await timers.advance(30 * minute);
    setMs += 1_000 * day;
    await timers.advance(50 * minute);
    setMs -= 1_000 * day;
    await timers.advance(59 * minute);
    expect(steps).toEqual([]);
    await timers.advance(2 * minute);
    expect(steps).toHaveLength(1);
    expect(steps[0]?.now).toBeLessThan(timers.now() + 1);
  });

  it("does not take time that jumped over for steady time", async () => {
    setMs += 59 * minute;
    await timers.advance(58 * minute);
    expect(steps).toEqual([]);
  });

  it("sums up jumps that are too small to harm alone", async () => {
    pages = Array.from({ length: 200 }, () => false);
    await timers.advance(hour);
    setMs += 40 * minute;
    await timers.advance(10_000);
    expect(steps).toHaveLength(11);
    setMs += 40 * minute;
    await timers.advance(50 * minute);
    expect(steps).toHaveLength(11);
  });

  it("reports a failure and goes on with the same page an hour later", async () => {
    pages = [false, false];
    const failure = new Error("the disk is full");
    removing = async () => {
      if (steps.length === 2) throw failure;
    };
    await timers.advance(hour + minute);
    expect(errors.splice(0)).toEqual([failure]);
    expect(steps).toHaveLength(2);
    await timers.advance(hour);
    expect(steps.map(({ from }) => from)).toEqual([undefined, 1, 1]);
  });

  it("waits on close for the step under way, and makes no other", async () => {
    pages = [true, true];
    let end = () => {};
    removing = () =>
      new Promise((resolve) => {
        end = resolve;
      });
    await timers.advance(hour);
    let closed = false;
    const closing = sweep.close().then(() => {
      closed = true;
    });
    await timers.advance(1_000);
    expect(closed).toBe(false);
    end();
    await closing;
    await timers.advance(2 * day);
    expect(steps).toHaveLength(1);
  });
});
