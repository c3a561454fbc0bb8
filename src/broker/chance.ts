import { base64url } from "./bytes.ts";
import type { Random } from "./ports/random.ts";
import type { Version } from "./ports/store.ts";

/** A write id that nobody drew before: 12 bytes of randomness in 16 characters, for every item pays for them. */
export function newVersion(random: Random): Version {
  return base64url(random.bytes(12));
}

/** A whole number of milliseconds from 0 up to and without `ms`. */
export function jitter(random: Random, ms: number): number {
  const [high = 0, low = 0] = random.bytes(2);
  return Math.floor((ms * (high * 256 + low)) / 65_536);
}
