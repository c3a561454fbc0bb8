import type { Ports } from "../ports/ports.ts";
import { type Item, type Key, storeLimits } from "../ports/store.ts";

/** Keys that are read together, in as few requests as the store takes. */
export class KeysOnce {
  readonly #keys: Key[] = [];

  /** Where the answer will stand. */
  add(key: Key): number {
    return this.#keys.push(key) - 1;
  }

  async get(io: Ports): Promise<(Item | undefined)[]> {
    const { getKeysMax } = storeLimits;
    const portions: Key[][] = [];
    for (let at = 0; at < this.#keys.length; at += getKeysMax)
      portions.push(this.#keys.slice(at, at + getKeysMax));
    return (await Promise.all(portions.map((some) => io.store.get(some)))).flat();
  }
}
