import { Unavailable } from "../../src/broker/ports/failures.ts";
import type { CommitResult, Store } from "../../src/broker/ports/store.ts";

/** Whoever asks this store is never answered from some call on: dead before it was done, or after, or told that nobody knows. */
export function dyingAt(store: Store, call: number, how: "before" | "after" | "unknown"): Store {
  let calls = 0;
  async function through<T>(act: () => Promise<T>, isCommit: boolean): Promise<T> {
    calls++;
    if (calls < call) return act();
    if (how === "before" || calls > call) return new Promise<T>(() => {});
    await act();
    if (how === "after") return new Promise<T>(() => {});
    if (!isCommit) throw new Unavailable("once");
    return { outcome: "unknown" } satisfies CommitResult as T;
  }
  return {
    get: (wanted) => through(() => store.get(wanted), false),
    scan: (range) => through(() => store.scan(range), false),
    commit: (writes, until) => through(() => store.commit(writes, until), true),
  };
}
