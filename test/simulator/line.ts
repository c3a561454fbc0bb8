import { Unavailable } from "../../src/broker/ports/failures.ts";
import type { Process, World } from "./world.ts";

/** What a process of the cell can be hit by while it makes a port call. */
export interface Hazards {
  crash(): void;
  stall(): void;
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
    const { unavailable, slow, crash, stall } = this.world.rates;
    return new Promise((resolve, reject) => {
      this.hit("crash", crash / 2, "crash");
      this.hit("stall", stall / 2, "stall");
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

  /** Whether a fault happens that takes the process with it. */
  hit(fault: string, rate: number, hazard: keyof Hazards): boolean {
    const hit = this.world.befalls(fault, rate);
    if (hit) {
      this.note(() => fault);
      this.#hazards[hazard]();
    }
    return hit;
  }

  note(line: () => string): void {
    this.world.note(() => `${this.#process.name} ${line()}`);
  }

  /** Stops the process for so long. */
  stop(ms: number): void {
    this.#process.stalledUntil = Math.max(this.#process.stalledUntil, this.world.now + ms);
  }
}
