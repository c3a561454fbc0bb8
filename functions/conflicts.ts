import type { Store } from "../src/broker/ports/store.ts";

/** Counts the commits that were refused because somebody else had been faster. */
export class Conflicts {
  #count = 0;

  /** The same store, watched. */
  in(store: Store): Store {
    return {
      get: (keys) => store.get(keys),
      scan: (range) => store.scan(range),
      commit: async (writes, until) => {
        const result = await store.commit(writes, until);
        if (result.outcome === "refused") this.#count++;
        return result;
      },
    };
  }

  /** How many there were since this was asked before. */
  take(): number {
    const count = this.#count;
    this.#count = 0;
    return count;
  }
}
