import type {
  CommitResult,
  Item,
  Key,
  ScanPage,
  ScanRange,
  Store,
  Write,
} from "../../broker/ports/store.ts";
import { type Faults, runUnderFault, throwUnavailable } from "./faults.ts";

/** A store whose calls meet faults. */
export class FaultyStore implements Store {
  readonly #store: Store;
  readonly #faults: Faults;

  constructor(store: Store, faults: Faults) {
    this.#store = store;
    this.#faults = faults;
  }

  get(keys: readonly Key[]): Promise<(Item | undefined)[]> {
    return this.#run("get", () => this.#store.get(keys), throwUnavailable);
  }

  scan(range: ScanRange): Promise<ScanPage> {
    return this.#run("scan", () => this.#store.scan(range), throwUnavailable);
  }

  commit(writes: readonly Write[], until: number): Promise<CommitResult> {
    const run = () => this.#store.commit(writes, until);
    return this.#run("commit", run, () => ({ outcome: "unknown" }));
  }

  #run<T>(method: string, run: () => Promise<T>, lost: () => T): Promise<T> {
    const { plan, clock } = this.#faults;
    return runUnderFault(plan({ port: "store", method }), clock, run, lost);
  }
}
