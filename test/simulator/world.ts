import { Dice } from "./dice.ts";
import { EventHeap } from "./event-heap.ts";
import type { FaultRates } from "./fault-rates.ts";

/** Whoever events are delivered to: a broker or a client, in one life. The dead get nothing, the stalled get it later. */
export interface Process {
  readonly name: string;
  dead: boolean;
  stalledUntil: number;
}

/**
 * Simulated time and one schedule. Everything that happens is an event at an instant that the dice chose; between two
 * events every promise that can go on does, so that a run depends on its seed alone.
 */
export class World {
  readonly dice: Dice;
  readonly rates: FaultRates;
  /** How long a port call takes each way while nothing slows it down (ms). */
  readonly latencyMs: readonly [min: number, max: number];
  /** Port calls answered and faults so far. */
  steps = 0;
  /** When set, nothing fails any more: what is under way comes to its end. */
  calm = false;
  /** No client begins anything before this instant. */
  quietUntil = 0;
  readonly counts = new Map<string, number>();
  readonly #events = new EventHeap();
  readonly #history: string[] | undefined;
  #now = startsAt;
  #order = 0;

  constructor(
    seed: number,
    rates: FaultRates,
    options: {
      readonly keepHistory?: boolean;
      readonly latencyMs?: readonly [number, number];
    } = {},
  ) {
    const { keepHistory = false, latencyMs = [1, 8] } = options;
    this.latencyMs = latencyMs;
    this.dice = new Dice(seed);
    this.rates = rates;
    this.#history = keepHistory ? [] : undefined;
  }

  get now(): number {
    return this.#now;
  }

  get history(): readonly string[] {
    return this.#history ?? [];
  }

  /** Adds a line to the history; `line` is only asked where one is kept. */
  note(line: () => string): void {
    this.#history?.push(`${this.#now - startsAt} ${line()}`);
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  /** Whether a fault of this rate happens now; it is counted. */
  befalls(kind: string, rate: number): boolean {
    if (this.calm || !this.dice.chance(rate)) return false;
    this.fault(kind);
    return true;
  }

  fault(kind: string): void {
    this.steps++;
    this.count(`fault ${kind}`);
  }

  after(ms: number, run: () => void): void {
    this.#events.push({ at: this.#now + Math.max(0, ms), order: this.#order++, run });
  }

  /** Runs something in a process after so long: never if it is dead by then, later if it is stalled. */
  deliver(process: Process, ms: number, run: () => void): void {
    this.after(ms, () => {
      if (process.dead) return;
      const left = process.stalledUntil - this.#now;
      if (left > 0) this.deliver(process, left, run);
      else run();
    });
  }

  /** Sleep of a process. Never returns to a dead one. */
  sleep(process: Process, ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      signal?.addEventListener("abort", () => this.deliver(process, 0, resolve));
      this.deliver(process, ms, resolve);
    });
  }

  /** Time passes and nothing happens; what should have happens right after, in its order. */
  skip(ms: number): void {
    this.#now += ms;
  }

  /** Lets everything happen that happens up to an instant. */
  async runTo(at: number): Promise<void> {
    let reached = false;
    this.after(at - this.#now, () => {
      reached = true;
    });
    await this.run(() => reached);
  }

  /** Lets events happen until `done`, or until none is left. */
  async run(done: () => boolean): Promise<void> {
    while (!done()) {
      const event = this.#events.pop();
      if (event === undefined) return;
      this.#now = Math.max(this.#now, event.at);
      event.run();
      await everythingThatCanGoOn();
    }
  }
}

/** An instant like any other. */
export const startsAt = Date.UTC(2026, 0, 1);

function everythingThatCanGoOn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
