import { describe, expect, it } from "vitest";
import { ManualClock } from "../../../src/adapters/memory/manual-clock.ts";

describe("ManualClock", () => {
  it("wakes sleepers in the order of their instants, each at its own time", async () => {
    const clock = new ManualClock(100);
    const woken: [string, number][] = [];
    const sleep = async (name: string, ms: number) => {
      await clock.sleep(ms);
      woken.push([name, clock.now()]);
    };
    const all = [sleep("c", 30), sleep("a", 10), sleep("b", 10), sleep("d", 0)];
    all.push(sleep("a", 10).then(() => sleep("again", 5)));
    await clock.advance(29);
    expect(woken).toEqual([
      ["d", 100],
      ["a", 110],
      ["b", 110],
      ["a", 110],
      ["again", 115],
    ]);
    expect(clock.now()).toBe(129);
    await clock.advance(1);
    await Promise.all(all);
    expect(woken.at(-1)).toEqual(["c", 130]);
  });

  it("ends a sleep whose signal aborts", async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const sleep = clock.sleep(1_000, stop.signal);
    stop.abort();
    await sleep;
    await clock.sleep(1_000, stop.signal);
  });
});
