import type { Clock } from "../../src/broker/ports/clock.ts";

interface Sleep {
  readonly until: number;
  readonly wake: () => void;
}

/**
 * A clock whose time passes only while everybody sleeps: then it jumps to the first instant that somebody waits for.
 * What needs minutes takes no time, and the same run always goes the same way.
 */
export class VirtualClock implements Clock {
  #now: number;
  #sleeps: Sleep[] = [];
  #ticking = false;

  constructor(now = 1_700_000_000_000) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => this.#end(sleep);
      const wake = () => {
        signal?.removeEventListener("abort", end);
        resolve();
      };
      const sleep: Sleep = { until: this.#now + Math.max(0, ms), wake };
      this.#sleeps.push(sleep);
      signal?.addEventListener("abort", end);
      this.#tickSoon();
    });
  }

  /** Time that passes at once, as between two requests. */
  pass(ms: number): void {
    this.#now += ms;
  }

  #tickSoon(): void {
    if (this.#ticking) return;
    this.#ticking = true;
    // By the next turn everything that can go on without time has gone on.
    setImmediate(() => {
      this.#ticking = false;
      const next = this.#sleeps.reduce<Sleep | undefined>(
        (first, sleep) => (first && first.until <= sleep.until ? first : sleep),
        undefined,
      );
      if (next === undefined) return;
      this.#now = Math.max(this.#now, next.until);
      this.#end(next);
      if (this.#sleeps.length > 0) this.#tickSoon();
    });
  }

  #end(sleep: Sleep): void {
    this.#sleeps = this.#sleeps.filter((other) => other !== sleep);
    sleep.wake();
  }
}

/** Resolves when everything that can go on without time has gone on. */
export function othersActed(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
