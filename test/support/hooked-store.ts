import type {
  CommitResult,
  Item,
  Key,
  ScanPage,
  ScanRange,
  Store,
  Write,
} from "../../src/broker/ports/store.ts";

/** A store that counts its calls and lets a test act before a read or a commit goes through. */
export class HookedStore implements Store {
  readonly #store: Store;
  beforeCommit: ((writes: readonly Write[]) => Promise<void>) | undefined;
  beforeRead: (() => Promise<void>) | undefined;
  reads = 0;
  commits = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  async get(keys: readonly Key[]): Promise<(Item | undefined)[]> {
    this.reads++;
    await this.beforeRead?.();
    return this.#store.get(keys);
  }

  async scan(range: ScanRange): Promise<ScanPage> {
    this.reads++;
    await this.beforeRead?.();
    return this.#store.scan(range);
  }

  async commit(writes: readonly Write[], until: number): Promise<CommitResult> {
    this.commits++;
    await this.beforeCommit?.(writes);
    return this.#store.commit(writes, until);
  }

  /** Holds every commit back until the function that it answers is called. */
  holdCommits(): () => void {
    let release: () => void = () => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.beforeCommit = () => released;
    return () => {
      this.beforeCommit = undefined;
      release();
    };
  }
}
