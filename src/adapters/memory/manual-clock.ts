import type { Clock } from "../../broker/ports/clock.ts";

interface Sleep {
  readonly until: number;
  readonly wake: () => void;
}

/** A clock for tests: time stands still until somebody moves it. */
export class ManualClock implements Clock {
  #now: number;
  #sleeps: Sleep[] = [];

  constructor(now = 1_700_000_000_000) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (ms <= 0 || signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => this.#end(sleep);
      const wake = () => {
        signal?.removeEventListener("abort", end);
        resolve();
      };
      const sleep: Sleep = { until: this.#now + ms, wake };
      this.#sleeps.push(sleep);
      signal?.addEventListener("abort", end);
    });
  }

  /** Moves time on, wakes the sleepers in the order of their instants and lets each act first. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await othersActed();
    for (let next = this.#nextBy(end); next; next = this.#nextBy(end)) {
      this.#now = next.until;
      this.#end(next);
      await othersActed();
    }
    this.#now = end;
  }

  #nextBy(end: number): Sleep | undefined {
    const due = this.#sleeps.filter((sleep) => sleep.until <= end);
    return due.reduce<Sleep | undefined>(
      (first, sleep) => (first && first.until <= sleep.until ? first : sleep),
      undefined,
    );
  }

  #end(sleep: Sleep): void {
    this.#sleeps = this.#sleeps.filter((other) => other !== sleep);
    sleep.wake();
  }
}

/** Every promise that can settle without time or input has settled by the next turn. */
function othersActed(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
