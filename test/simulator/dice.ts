import { seededRandom } from "../../src/adapters/faulty/faults.ts";
import type { Random } from "../../src/broker/ports/random.ts";

/** All chance of one simulated run: the same seed throws the same. */
export class Dice implements Random {
  readonly #draw: () => number;

  constructor(seed: number) {
    this.#draw = seededRandom(Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995);
  }

  /** From 0 (inclusive) to 1 (exclusive). */
  fraction(): number {
    return this.#draw();
  }

  chance(probability: number): boolean {
    return this.#draw() < probability;
  }

  /** A whole number from `min` to `max`, both inclusive. */
  between(min: number, max: number): number {
    return min + Math.floor(this.#draw() * (max - min + 1));
  }

  pick<T>(options: readonly T[]): T {
    const picked = options[this.between(0, options.length - 1)];
    if (picked === undefined) throw new Error("nothing to pick from");
    return picked;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.between(0, 255));
  }
}
