import type { Clock } from "../../broker/ports/clock.ts";
import { ClockWatch } from "./clock-watch.ts";
import type { LmdbStore } from "./lmdb-store.ts";

export interface ExpirySweepOptions {
  readonly store: Pick<LmdbStore, "removeExpired">;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

/** How often the clock is looked at (ms), also while there is nothing else to do. */
const lookEveryMs = 60_000;
const passEveryMs = 24 * 60 * 60_000;
/** Rests behind a page (ms). A pass reads the whole file, so it takes its time where it has nothing to remove. */
const restBehindRemovedMs = 100;
const restBehindKeptMs = 1_000;
const restBehindFailureMs = 60 * 60_000;

/**
 * Walks through the store once a day, page by page, and removes what has long expired. The broker deletes most rows of
 * the log before they expire; this is for what is left over, or the file would grow for ever. A process that has run
 * for less than an hour removes nothing: see {@link ClockWatch}.
 */
export class ExpirySweep {
  readonly #options: ExpirySweepOptions;
  readonly #watch: ClockWatch;
  readonly #end = new AbortController();
  #running: Promise<void> | undefined;
  /** Where the pass goes on. */
  #from: Uint8Array | undefined;

  constructor(options: ExpirySweepOptions) {
    this.#options = options;
    this.#watch = new ClockWatch(options.clock.now());
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Waits for the step under way. */
  async close(): Promise<void> {
    this.#end.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#end.signal.aborted) {
      await this.#rest(this.#watch.steady ? await this.#step() : lookEveryMs);
    }
  }

  /** Answers how long to rest behind it. */
  async #step(): Promise<number> {
    const { store, onError } = this.#options;
    try {
      const { removed, next } = await store.removeExpired({
        from: this.#from,
        now: this.#watch.now,
      });
      this.#from = next;
      if (next === undefined) return passEveryMs;
      return removed > 0 ? restBehindRemovedMs : restBehindKeptMs;
    } catch (error) {
      onError(error);
      return restBehindFailureMs;
    }
  }

  async #rest(ms: number): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#end;
    for (let left = ms; left > 0 && !signal.aborted; left -= lookEveryMs) {
      const napMs = Math.min(left, lookEveryMs);
      await clock.sleep(napMs, signal);
      this.#watch.slept(napMs, clock.now());
    }
  }
}
