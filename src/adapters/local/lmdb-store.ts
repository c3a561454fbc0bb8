import { dirname } from "node:path";
import { open, type PutOptions, type RootDatabase } from "lmdb";
import type { Clock } from "../../broker/ports/clock.ts";
import { Damaged, Unavailable } from "../../broker/ports/failures.ts";
import {
  assertCommitWithinLimits,
  type CommitResult,
  type Item,
  type Key,
  type ScanPage,
  type ScanRange,
  type Store,
  storeLimits,
  type Write,
} from "../../broker/ports/store.ts";
import {
  assertGetWithinLimits,
  assertScanWithinLimits,
  judgeCommit,
  unexpired,
} from "../memory/store-rules.ts";
import { BufferPool } from "./buffer-pool.ts";
import { DiskRoom } from "./disk-room.ts";
import { decodeItem, encodeItem, encodeKey, storedExpiry } from "./lmdb-codec.ts";
import { ensureFolder, syncFolder } from "./sync-folder.ts";

const transactionsMax = 2;
/** So long LMDB may take to begin a transaction after a failure (ms), or it is taken to begin none any more. */
const beginMsMax = 10_000;
const readersFreedEveryMs = 60_000;

/**
 * An item stays for so long after its expiry (ms). Whoever expects `vacant` counts with it until then: longer than any
 * commit may be on its way, and than clocks may differ.
 */
export const expiredKeptMs = 60 * 60_000;

/** One step of removing looks at so many items, or for so long (ms): a few milliseconds, of the event loop or of the lock. */
const expiryPageItems = 500;
const expiryPageMs = 5;

export interface LmdbStoreOptions {
  /** The data file; a lock file lies beside it. */
  readonly path: string;
  readonly clock: Clock;
}

/** So many bytes of values go into one LMDB transaction at most, or one commit. */
const groupBytesMax = 16 * 1_024 * 1_024;

/** Above every sort key: a bound that is longer than they are. */
const sortEnd = new Uint8Array(storeLimits.sortBytesMax + 1).fill(0xff);

interface Waiting {
  readonly writes: readonly EncodedWrite[];
  readonly until: number;
  readonly bytes: number;
  readonly resolve: (result: CommitResult) => void;
  readonly reject: (error: unknown) => void;
}

/** The types of lmdb leave out that a put takes options. */
interface OptionalPuts {
  put(key: Uint8Array, value: Uint8Array, options: PutOptions): Promise<boolean>;
}

const onlyIfVacant: PutOptions = { noOverwrite: true };

/** Where a step of removing begins: at the first item, or where the step before it ended. */
export interface ExpiryStart {
  readonly from: Uint8Array | undefined;
  /** An instant that can be believed, for what is removed does not come back. */
  readonly now: number;
}

export interface ExpiryStep {
  readonly removed: number;
  /** Where to go on; `undefined` behind the last item. */
  readonly next: Uint8Array | undefined;
}

interface EncodedPut {
  readonly write: Write;
  readonly key: Uint8Array;
  readonly stored: Buffer;
}

interface EncodedWrite {
  readonly write: Write;
  readonly key: Uint8Array;
  /** What a put stores. */
  readonly stored?: Buffer;
}

/**
 * The store of one machine: a file that several processes may have open at once.
 *
 * Commits that arrive while a transaction is under way wait and go together into the next, so one
 * fdatasync serves them all. Each is judged by itself, after those before it.
 */
export class LmdbStore implements Store {
  readonly #db: RootDatabase<Uint8Array, Uint8Array>;
  readonly #clock: Clock;
  readonly #waiting: Waiting[] = [];
  /** What must end before the file may be closed. */
  readonly #running = new Set<Promise<void>>();
  #transactions = 0;
  #closing: Promise<void> | undefined;
  readonly #buffers = new BufferPool();
  readonly #room: DiskRoom;
  #readersFreedAt = 0;
  /** Why the file takes no commit any more. */
  #broken: Error | undefined;

  private constructor(
    db: RootDatabase<Uint8Array, Uint8Array>,
    { clock, room }: { readonly clock: Clock; readonly room: DiskRoom },
  ) {
    this.#db = db;
    this.#clock = clock;
    this.#room = room;
  }

  static async open({ path, clock }: LmdbStoreOptions): Promise<LmdbStore> {
    await ensureFolder(dirname(path));
    const db = open<Uint8Array, Uint8Array>({
      path,
      keyEncoding: "binary",
      encoding: "binary",
      compression: false,
      noSubdir: true,
      // With it others read what is not flushed yet.
      overlappingSync: false,
      // With it a failed transaction rejects a promise that nobody holds, and Node ends the process.
      eventTurnBatching: false,
    });
    await syncFolder(dirname(path));
    return new LmdbStore(db, { clock, room: await DiskRoom.of(dirname(path)) });
  }

  /** Waits for the commits under way. Later calls throw `Unavailable`. */
  close(): Promise<void> {
    this.#closing ??= this.#finish().then(() => this.#db.close());
    return this.#closing;
  }

  async get(keys: readonly Key[]): Promise<(Item | undefined)[]> {
    assertGetWithinLimits(keys);
    return this.#read(() => {
      const now = this.#clock.now();
      return keys.map(({ partition, sort }) => {
        const item = this.#find(encodeKey(partition, sort));
        return unexpired(item, now);
      });
    });
  }

  async scan(range: ScanRange): Promise<ScanPage> {
    assertScanWithinLimits(range);
    const { partition, from, to, reverse = false, limit } = range;
    const low = encodeKey(partition, from);
    const high = to === undefined ? boundAbove(partition) : encodeKey(partition, to);
    const [start, end] = reverse ? [high, low] : [low, high];
    const bounds = { start, end, inclusiveEnd: true, reverse };
    return this.#read(() => this.#page(bounds, limit, range.bytesMax));
  }

  async commit(writes: readonly Write[], until: number): Promise<CommitResult> {
    assertCommitWithinLimits(writes);
    // The caller may use its buffers again while the commit waits, so they are copied here.
    const encoded = writes.map((write) => this.#encode(write));
    const bytes = encoded.reduce((sum, { stored }) => sum + (stored?.length ?? 0), 0);
    if (this.#closing !== undefined) throw new Unavailable(closed);
    const [only] = encoded;
    const lone = encoded.length === 1 && only?.write.expect === "vacant";
    if (lone && only.stored !== undefined && this.#room.plenty(this.#clock.now())) {
      return this.#track(this.#putIfVacant({ ...only, stored: only.stored }, until));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ writes: encoded, until, bytes, resolve, reject });
      this.#writeSoon();
    });
  }

  /**
   * One bounded step of removing what has long expired, in a small transaction of its own, or in none if there is
   * nothing. Safe to repeat, to interrupt, and to run in several processes at once.
   */
  async removeExpired({ from, now }: ExpiryStart): Promise<ExpiryStep> {
    const until = now - expiredKeptMs;
    const { expired, next } = this.#read(() => this.#expiredPage(from, until));
    if (expired.length === 0) return { removed: 0, next };
    return { removed: await this.#track(this.#removeAll(expired, until)), next };
  }

  #page(bounds: Bounds, limit: number, bytesMax = Number.POSITIVE_INFINITY): ScanPage {
    const now = this.#clock.now();
    const items: Item[] = [];
    let bytes = 0;
    for (const { key, value } of this.#db.getRange(bounds)) {
      const item = unexpired(decodeItem(key, value), now);
      if (!item) continue;
      items.push(item);
      bytes += item.value.length;
      if (items.length < limit && bytes < bytesMax) continue;
      // Whether another follows is asked of the keys alone, so its value is not read.
      const [behind] = this.#db.getKeys({ ...bounds, start: key, exclusiveStart: true, limit: 1 });
      return { items, more: behind !== undefined };
    }
    return { items, more: false };
  }

  #find(key: Uint8Array): Item | undefined {
    const bytes = this.#db.getBinary(key);
    return bytes && decodeItem(key, bytes);
  }

  /** Law 2: lmdb keeps one snapshot for a whole turn, so it is told to look anew each time. */
  #read<T>(read: () => T): T {
    if (this.#closing !== undefined) throw new Unavailable(closed);
    try {
      this.#db.resetReadTxn();
      return read();
    } catch (error) {
      throw readFailure(error);
    }
  }

  /**
   * One put into a vacant place, which is how the log grows, without a callback under the write lock: LMDB's own thread
   * looks and puts, and waits for nobody. It is faster by a quarter, at a price: `until` is looked at before LMDB gets
   * the put and after, not in between. A process that is stopped there for longer writes late, and is told `unknown`.
   * Only while the disk has plenty of room: see `DiskRoom`.
   */
  async #putIfVacant({ write, key, stored }: EncodedPut, until: number): Promise<CommitResult> {
    if (this.#broken) throw unwritable(this.#broken);
    if (this.#clock.now() > until) throw new Unavailable(tooLate);
    this.#freeReaders();
    let vacant: boolean;
    try {
      vacant = await (this.#db as unknown as OptionalPuts).put(key, stored, onlyIfVacant);
    } catch (error) {
      const outcome = await this.#outcomeOfFailure(error);
      if (outcome instanceof Error) throw outcome;
      return outcome;
    } finally {
      this.#buffers.giveBack(stored);
    }
    if (this.#clock.now() > until) return { outcome: "unknown" };
    if (vacant) return { outcome: "applied" };
    return this.#read(() => {
      const item = this.#find(key);
      // It was deleted since: this put did nothing, and whoever asks again finds the place vacant.
      if (item === undefined) return { outcome: "unknown" };
      return judgeCommit([write], [item], this.#clock.now()) as CommitResult;
    });
  }

  #expiredPage(from: Uint8Array | undefined, until: number) {
    const begunAt = this.#clock.now();
    const expired: Uint8Array[] = [];
    let items = 0;
    for (const key of this.#db.getKeys(from && { start: from })) {
      const enough = items >= expiryPageItems || this.#clock.now() - begunAt > expiryPageMs;
      // One at least, so that every step gets on.
      if (items > 0 && enough) return { expired, next: key };
      if (this.#expiredBy(key, until)) expired.push(key);
      items++;
    }
    return { expired, next: undefined };
  }

  #expiredBy(key: Uint8Array, until: number): boolean {
    // lmdb shows no part of a value. This way it copies each into one and the same buffer, and nothing is allocated.
    const bytes = this.#db.getBinaryFast(key);
    const expiresAt = bytes && storedExpiry(key, bytes);
    return expiresAt !== undefined && expiresAt <= until;
  }

  async #removeAll(keys: readonly Uint8Array[], until: number): Promise<number> {
    if (this.#broken) throw unwritable(this.#broken);
    this.#freeReaders();
    let removed = 0;
    try {
      await this.#db.transaction(() => {
        for (const key of keys) {
          // Since it was looked at, it may have been put anew, or removed by another process.
          if (!this.#expiredBy(key, until)) continue;
          this.#db.removeSync(key);
          removed++;
        }
      });
    } catch (error) {
      const outcome = await this.#outcomeOfFailure(error);
      throw outcome instanceof Error ? outcome : unwritable(error);
    }
    return removed;
  }

  /** Keeps the file open until this has ended. */
  #track<T>(running: Promise<T>): Promise<T> {
    const ended = running.then(
      () => {},
      () => {},
    );
    this.#running.add(ended);
    void ended.then(() => this.#running.delete(ended));
    return running;
  }

  /**
   * Two transactions at most are asked for: the second one waits at LMDB's door while the first is flushed, and takes
   * those along who come meanwhile.
   */
  #writeSoon(): void {
    if (this.#transactions >= transactionsMax || this.#waiting.length === 0) return;
    this.#transactions++;
    void this.#track(this.#writeGroup()).finally(() => {
      this.#transactions--;
      this.#writeSoon();
    });
  }

  async #writeGroup(): Promise<void> {
    if (this.#broken) return this.#refuseWaiting(this.#broken);
    this.#freeReaders();
    let group: readonly Waiting[] = [];
    let outcomes: readonly (CommitResult | Error)[] = [];
    try {
      await this.#db.transaction(() => {
        // The group is taken here, as late as can be: meanwhile more have come.
        group = this.#takeGroup();
        outcomes = group.map((commit) => this.#attempt(commit));
      });
    } catch (error) {
      // Where the callback never ran, nothing can have happened.
      if (group.length === 0) return this.#refuseWaiting(error);
      const outcome = await this.#outcomeOfFailure(error);
      outcomes = group.map(() => outcome);
    }
    for (const { writes } of group) {
      for (const { stored } of writes) if (stored) this.#buffers.giveBack(stored);
    }
    for (const [i, { resolve, reject }] of group.entries()) {
      const outcome = outcomes[i] ?? { outcome: "unknown" };
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    }
  }

  async #finish(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }

  #encode(write: Write): EncodedWrite {
    const key = encodeKey(write.key.partition, write.key.sort);
    if (write.kind !== "put") return { write, key };
    return { write, key, stored: encodeItem(key, write, (length) => this.#buffers.take(length)) };
  }

  /** A process that was killed while it read would keep LMDB from using freed pages again, for ever. */
  #freeReaders(): void {
    const now = this.#clock.now();
    if (Math.abs(now - this.#readersFreedAt) < readersFreedEveryMs) return;
    this.#readersFreedAt = now;
    this.#db.readerCheck();
  }

  #refuseWaiting(cause: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(unwritable(cause));
  }

  #takeGroup(): Waiting[] {
    let bytes = 0;
    const tooMany = this.#waiting.findIndex((commit, i) => {
      bytes += commit.bytes;
      return i > 0 && bytes > groupBytesMax;
    });
    return this.#waiting.splice(0, tooMany === -1 ? this.#waiting.length : tooMany);
  }

  /**
   * Runs inside the transaction. lmdb does not roll back for what a callback throws, so the only
   * thing that may throw here is a put that failed: after that LMDB itself refuses to commit.
   */
  #attempt({ writes, until }: Waiting): CommitResult | Error {
    const now = this.#clock.now();
    if (now > until) return new Unavailable(tooLate);
    let verdict: CommitResult | "apply";
    try {
      const found = writes.map(({ key }) => this.#find(key));
      const plain = writes.map(({ write }) => write);
      verdict = judgeCommit(plain, found, now);
    } catch (error) {
      // Nothing was put yet, so this concerns this commit alone.
      return readFailure(error);
    }
    if (verdict !== "apply") return verdict;
    for (const { write, key, stored } of writes) {
      if (stored) this.#db.putSync(key, stored);
      else if (write.kind === "delete") this.#db.removeSync(key);
    }
    return { outcome: "applied" };
  }

  /**
   * What the commits of a failed transaction hear. LMDB writes data pages first and at last the
   * meta page that makes them count. A failure before that, be it a full disk (which it reports as
   * EIO as often as not) or a put that failed, leaves the old state in force: nobody's commit
   * happened. If the meta page itself could not be written, the disk may hold the old one or the
   * new one; LMDB then refuses every later transaction, which is how we tell the two apart.
   */
  async #outcomeOfFailure(error: unknown): Promise<CommitResult | Error> {
    const { commitError } = error as { commitError?: PromiseLike<unknown> };
    // The callback threw and yet LMDB committed: nobody knows what.
    if (!commitError) return { outcome: "unknown" };
    const cause = await reasonOf(commitError);
    if (await this.#begins()) return unwritable(cause);
    this.#broken = new Error("the store file must be opened anew", { cause });
    return { outcome: "unknown" };
  }

  /**
   * Whether LMDB still begins transactions. An empty one may share its fate with puts that are refused for want of
   * room, which is fine: it began. Where LMDB begins none, lmdb never settles the promise.
   */
  async #begins(): Promise<boolean> {
    const began = Promise.resolve(this.#db.transaction(() => {})).then(
      () => true,
      async (error: unknown) => {
        await (error as { commitError?: PromiseLike<unknown> }).commitError?.then(
          undefined,
          () => {},
        );
        return true;
      },
    );
    let timer: NodeJS.Timeout | undefined;
    const hung = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), beginMsMax);
    });
    const begins = await Promise.race([began, hung]);
    clearTimeout(timer);
    return begins;
  }
}

interface Bounds {
  readonly start: Uint8Array;
  readonly end: Uint8Array;
  readonly inclusiveEnd: boolean;
  readonly reverse: boolean;
}

const closed = "the store is closed";
const tooLate = "the commit came too late";

/**
 * Above every key of the partition and below those behind it, and itself no key of either. As short as can be: lmdb
 * copies the bound of each scan into a small buffer and, where that is full, throws in order to take another.
 */
function boundAbove(partition: Uint8Array): Uint8Array {
  const bound = encodeKey(partition);
  for (let last = bound.length - 1; last >= 0; last--) {
    const byte = bound[last] ?? 0;
    if (byte === 0xff) continue;
    bound[last] = byte + 1;
    return bound.subarray(0, last + 1);
  }
  return encodeKey(partition, sortEnd);
}

function unwritable(cause: unknown): Unavailable {
  return new Unavailable("the store file cannot be written", { cause });
}

function readFailure(error: unknown): Error {
  const { code } = error as Error & { code?: unknown };
  // What is not LMDB's own error is already right, or a bug that must be seen as one.
  if (typeof code !== "number") return error as Error;
  if (damageCodes.includes(code)) return new Damaged("store file", { cause: error });
  return new Unavailable("the store file cannot be read", { cause: error });
}

/** MDB_PAGE_NOTFOUND, MDB_CORRUPTED, MDB_INVALID. */
const damageCodes: readonly number[] = [-30_797, -30_796, -30_793];

/** lmdb rejects with a general error that carries a promise of the real one. */
async function reasonOf(promise: PromiseLike<unknown>): Promise<unknown> {
  try {
    return await promise;
  } catch (reason) {
    return reason;
  }
}
