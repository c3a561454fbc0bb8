import { Unavailable } from "../../src/broker/ports/failures.ts";
import type { Process, World } from "./world.ts";

/** What a process of the cell can be hit by while it makes a port call. */
export interface Hazards {
  crash(): void;
  stall(ms: number): void;
}

/** The line from one broker process to a service of its cell: calls on it fail, dawdle, and take the process down. */
export class Line {
  readonly world: World;
  readonly #process: Process;
  readonly #hazards: Hazards;

  constructor(world: World, process: Process, hazards: Hazards) {
    this.world = world;
    this.#process = process;
    this.#hazards = hazards;
  }

  /** A call that may be made again, such as a read. It has one failure: nothing is done and nothing is answered. */
  ask<T>(what: () => string, call: () => Promise<T>): Promise<T> {
    const { unavailable, slow, crash } = this.world.rates;
    return new Promise((resolve, reject) => {
      this.crashes("crash", crash / 2);
      this.mayStall();
      const failed = this.world.befalls("unavailable", unavailable);
      this.world.after(this.latency(slow), () => {
        const answer = failed ? Promise.reject(new Unavailable("simulated")) : call();
        this.answer(
          this.latency(slow),
          () => `${what()}: ${failed ? "unavailable" : "done"}`,
          () => answer.then(resolve, reject),
        );
        answer.catch(() => {});
      });
    });
  }

  /** Tells the process, if it is still there. */
  answer(ms: number, what: () => string, tell: () => void): void {
    this.world.deliver(this.#process, ms, () => {
      this.world.steps++;
      this.note(what);
      tell();
    });
  }

  /** How long a call takes one way (ms). */
  latency(slowChance: number): number {
    const { world } = this;
    const { dice, latencyMs } = world;
    if (slowChance === 0 || !world.befalls("slow", slowChance)) return dice.between(...latencyMs);
    return dice.chance(0.1) ? dice.between(1_000, 90_000) : dice.between(20, 1_000);
  }

  /** Whether the process dies now. */
  crashes(fault: string, rate: number): boolean {
    const crashes = this.world.befalls(fault, rate);
    if (crashes) {
      this.note(() => fault);
      this.#hazards.crash();
    }
    return crashes;
  }

  /** The process may stop here for a while: what it asked for happens, and it goes on later. */
  mayStall(): void {
    const { dice, rates } = this.world;
    if (this.world.befalls("stall", rates.stall)) this.stall(dice.between(1_000, 150_000));
    if (this.world.befalls("stall for hours", rates.longStall)) this.#stallForHours();
  }

  /** The same where the end of a queue is read. */
  mayStallAtTail(): void {
    const { longStallAtTail } = this.world.rates;
    if (longStallAtTail > 0 && this.world.befalls("stall for hours", longStallAtTail))
      this.#stallForHours();
  }

  #stallForHours(): void {
    this.stall(this.world.dice.between(1_800_000, 3 * 3_600_000));
  }

  stall(ms: number): void {
    this.note(() => `stops for ${ms} ms`);
    this.#hazards.stall(ms);
  }

  note(line: () => string): void {
    this.world.note(() => `${this.#process.name} ${line()}`);
  }
}
