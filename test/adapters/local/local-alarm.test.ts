import { describe, expect, it } from "vitest";
import { LocalAlarm } from "../../../src/adapters/local/local-alarm.ts";
import { SystemRandom } from "../../../src/adapters/local/system-random.ts";
import { ManualClock } from "../../../src/adapters/memory/manual-clock.ts";
import { MemoryStore } from "../../../src/adapters/memory/memory-store.ts";
import type { AlarmId } from "../../../src/broker/ports/alarm.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import type { Store } from "../../../src/broker/ports/store.ts";
import { type AlarmUnderTest, runAlarmContract } from "../../contract/alarm.contract.ts";

type Ring = (id: AlarmId) => Promise<void>;

// On the memory store, so that simulated time is all that passes. two-processes.test.ts has the real one.
runAlarmContract({
  create: async (clock, ring) => underTest(clock, ring, new MemoryStore(clock)),
});

function underTest(clock: ManualClock, ring: Ring, store: Store): AlarmUnderTest {
  const dead = new AbortController();
  const alarm = startedAlarm(clock, store, async (id) =>
    dead.signal.aborted ? undefined : ring(id),
  );
  return {
    alarm,
    async replace() {
      dead.abort();
      await alarm.close();
      return underTest(clock, ring, store);
    },
    close: () => settled(clock, alarm.close()),
  };
}

function startedAlarm(
  clock: ManualClock,
  store: Store,
  ring: Ring,
  onError: (error: unknown) => void = () => {},
): LocalAlarm {
  const alarm = new LocalAlarm({ store, clock, random: new SystemRandom(), ring, onError });
  alarm.start();
  return alarm;
}

/** Rings under way may be asleep. */
async function settled(clock: ManualClock, promise: Promise<void>): Promise<void> {
  await clock.advance(60_000);
  await promise;
}

describe("LocalAlarm", () => {
  it("rings what another process has set, within a second", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore(clock);
    const rung: AlarmId[] = [];
    const alarm = startedAlarm(clock, store, async (id) => void rung.push(id));
    const silent = new LocalAlarm({
      store,
      clock,
      random: new SystemRandom(),
      ring: async () => {},
      onError: () => {},
    });
    await clock.advance(10);
    await silent.set("a", clock.now() + 100);
    await clock.advance(1_000);
    expect(rung).toEqual(["a"]);
    await alarm.close();
  });

  it("reads its rows only after a change, also one by another process, and when one is due", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore(clock);
    let scans = 0;
    const counting: Store = {
      get: (keys) => store.get(keys),
      scan: (range) => {
        scans++;
        return store.scan(range);
      },
      commit: (writes, until) => store.commit(writes, until),
    };
    const scansWithin = async (ms: number) => {
      const before = scans;
      await clock.advance(ms);
      return scans - before;
    };
    const rung: AlarmId[] = [];
    const alarm = startedAlarm(clock, counting, async (id) => void rung.push(id));
    const other = new LocalAlarm({
      store,
      clock,
      random: new SystemRandom(),
      ring: async () => {},
      onError: () => {},
    });
    expect(await scansWithin(60_000)).toBe(1);
    await alarm.set("a", clock.now() + 600_000);
    expect(await scansWithin(60_000)).toBe(1);
    await other.set("b", clock.now() + 60_000);
    expect(await scansWithin(59_000)).toBe(1);
    await other.cancel("a");
    expect(await scansWithin(500)).toBe(0);
    expect(rung).toEqual([]);
    // After the cancellation, when it is due, and to see that it has rung.
    expect(await scansWithin(60_000)).toBeLessThanOrEqual(3);
    expect(rung).toEqual(["b"]);
    expect(await scansWithin(1_000_000)).toBe(0);
    expect(rung).toEqual(["b"]);
    await alarm.close();
  });

  it("waits on close for a ring in flight and rings no more after it", async () => {
    const clock = new ManualClock();
    let ended = 0;
    const alarm = startedAlarm(clock, new MemoryStore(clock), async () => {
      await clock.sleep(5_000);
      ended++;
    });
    await alarm.set("a", clock.now());
    await clock.advance(10);
    await alarm.set("b", clock.now() + 1_000);
    let closed = false;
    const closing = alarm.close().then(() => {
      closed = true;
    });
    await clock.advance(4_000);
    expect(closed).toBe(false);
    await clock.advance(5_000);
    await closing;
    await clock.advance(60_000);
    expect(ended).toBe(1);
  });

  it("reports trouble with the store and goes on when it is over", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore(clock);
    const down = new AbortController();
    const errors: unknown[] = [];
    const rung: AlarmId[] = [];
    const flaky: Store = {
      get: (keys) => store.get(keys),
      scan: async (range) => {
        if (!down.signal.aborted) throw new Unavailable("down");
        return store.scan(range);
      },
      commit: (writes, until) => store.commit(writes, until),
    };
    const alarm = startedAlarm(
      clock,
      flaky,
      async (id) => void rung.push(id),
      (e) => errors.push(e),
    );
    await alarm.set("a", clock.now());
    await clock.advance(3_000);
    expect(errors.length).toBeGreaterThan(1);
    expect(errors.length).toBeLessThan(10);
    down.abort();
    await clock.advance(1_000);
    expect(rung).toEqual(["a"]);
    await alarm.close();
  });
});
