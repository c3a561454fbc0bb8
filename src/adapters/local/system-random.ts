import { randomFillSync } from "node:crypto";
import type { Random } from "../../broker/ports/random.ts";

const poolBytes = 4_096;

/** Draws many bytes at once: a draw of 12 takes several microseconds, whatever its length. */
export class SystemRandom implements Random {
  readonly #pool = new Uint8Array(poolBytes);
  #used = poolBytes;

  bytes(length: number): Uint8Array {
    if (length > poolBytes) return randomFillSync(new Uint8Array(length));
    if (this.#used + length > poolBytes) {
      randomFillSync(this.#pool);
      this.#used = 0;
    }
    this.#used += length;
    return this.#pool.slice(this.#used - length, this.#used);
  }
}
