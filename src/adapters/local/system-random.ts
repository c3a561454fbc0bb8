import { randomFillSync } from "node:crypto";
import type { Random } from "../../broker/ports/random.ts";

export class SystemRandom implements Random {
  bytes(length: number): Uint8Array {
    return randomFillSync(new Uint8Array(length));
  }
}
