import { expiredKeptMs } from "./lmdb-store.ts";

/** So far the wall clock may go apart from the timers: what it calls long expired has then at least expired. */
const apartMsMax = expiredKeptMs;
const steadyMsMin = 60 * 60_000;

/**
 * Whether the wall clock can be believed by somebody who destroys what it calls old. A laptop may wake up with a wrong
 * clock, and a machine start with one, until somebody sets it right. So it is believed once it has gone on together
 * with the timers, which nobody sets, for an hour, and until it is seen to have gone apart from them. Nobody knows how it
 * went while no process ran, so each process begins with an hour of disbelief.
 */
export class ClockWatch {
  #now: number;
  #watchedFrom: number;
  #sleptMs = 0;

  constructor(now: number) {
    this.#now = now;
    this.#watchedFrom = now;
  }

  /** What the clock said when it was looked at last. */
  get now(): number {
    return this.#now;
  }

  get steady(): boolean {
    return this.#sleptMs >= steadyMsMin;
  }

  /** A timer of so many milliseconds has ended, and now the clock says this. */
  slept(ms: number, now: number): void {
    this.#now = now;
    this.#sleptMs += ms;
    // Summed up, so that many small steps are seen too. What is no sleep is short, and at worst costs another hour.
    const apartMs = Math.abs(now - this.#watchedFrom - this.#sleptMs);
    if (apartMs <= apartMsMax) return;
    this.#watchedFrom = now;
    this.#sleptMs = 0;
  }
}
