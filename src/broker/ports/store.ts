import { assert } from "../assert.ts";

/**
 * The store port: an ordered key-value store with atomic conditional writes. Everything in the broker that must
 * hold rests on {@link Store.commit}.
 *
 * Laws, which the contract suite tests on every adapter:
 *
 * 1. A key is `(partition, sort)`, both compared as unsigned bytes. `scan` walks one partition in sort order, either
 *    way, between bounds that are both inclusive; crossed bounds are an empty answer. It never shows an item of
 *    another partition.
 * 2. Reads are strongly consistent: what a commit was answered `applied` for is seen by every later read, in every
 *    process.
 * 3. `commit` is all or nothing. A refused commit changes nothing and hands back the current items.
 * 4. Three outcomes: applied, refused, unknown. A commit that is repeated after an unknown outcome, with the same
 *    versions, and then meets an item that carries one of the versions it was about to put, *was* applied and says so.
 *    Where that cannot be decided the outcome stays unknown.
 * 5. An item may carry `expiresAt`. From that instant it reads as absent, however late the engine removes it.
 * 6. The limits below. Whoever breaks one has a bug: the adapter throws before it writes anything.
 * 7. A commit is never applied later than its `until`, by the adapter's clock, not even by an attempt that was held
 *    back on its way. One exception: a lone put into a vacant place may be applied later by a process that was stopped
 *    in the middle of it; it is then answered `unknown`, never `applied`. Only the log puts so, and nobody counts with a
 *    row that was not acknowledged (rule 4 of the log).
 *
 * A call that surely had no effect throws `Unavailable`; stored bytes that fail a check throw `Damaged`.
 */
export interface Store {
  /** The items under these keys, in the order of the keys; `undefined` where there is none. At most `getKeysMax` keys. */
  get(keys: readonly Key[]): Promise<(Item | undefined)[]>;

  /** One page of a partition. `more` says that the range goes on behind the last item. */
  scan(range: ScanRange): Promise<ScanPage>;

  /** Applies all the writes or none of them, never after the instant `until` (ms since the epoch). */
  commit(writes: readonly Write[], until: number): Promise<CommitResult>;
}

export interface Key {
  readonly partition: Uint8Array;
  readonly sort: Uint8Array;
}

/**
 * Names one put, for ever: 1 to 32 ASCII characters that the writer drew at random. It is the item's version and at
 * the same time the mark by which a writer recognises its own earlier attempt.
 */
export type Version = string;

export interface Item {
  readonly key: Key;
  readonly value: Uint8Array;
  readonly version: Version;
  /** Milliseconds since the epoch. Absent: the item stays until it is deleted. */
  readonly expiresAt?: number;
}

/**
 * What must hold for a write to be applied. `absent`: the key reads as absent (law 5). `vacant`: nothing is there at
 * all, not even an expired item that the engine has not removed yet. `{ version }`: the item is there, unexpired, and
 * was put by that write.
 */
export type Expectation = "absent" | "vacant" | { readonly version: Version };

export type Write =
  | {
      readonly kind: "put";
      readonly key: Key;
      /** Bytes, or parts that are stored one behind the other: what was received is not copied to get a head. */
      readonly value: Uint8Array | readonly Uint8Array[];
      readonly version: Version;
      readonly expiresAt?: number;
      readonly expect?: Expectation;
    }
  | { readonly kind: "delete"; readonly key: Key; readonly expect?: Expectation }
  | { readonly kind: "check"; readonly key: Key; readonly expect: Expectation };

export type Put = Extract<Write, { kind: "put" }>;

export type CommitResult =
  | { readonly outcome: "applied" }
  /**
   * `current[i]` is what lies under the key of `writes[i]`: for a write that expected `vacant` also an item that has
   * expired, for all others only what a read would show.
   */
  | { readonly outcome: "refused"; readonly current: readonly (Item | undefined)[] }
  | { readonly outcome: "unknown" };

export interface ScanRange {
  readonly partition: Uint8Array;
  /** Lowest sort key, inclusive. */
  readonly from?: Uint8Array;
  /** Highest sort key, inclusive. */
  readonly to?: Uint8Array;
  /** From the highest sort key downwards. */
  readonly reverse?: boolean;
  /** At most so many items, 1 to `scanItemsMax`. */
  readonly limit: number;
  /** The page ends with the item that brings the values read to this many bytes; the first item always comes. */
  readonly bytesMax?: number;
}

export interface ScanPage {
  readonly items: readonly Item[];
  readonly more: boolean;
}

/** Law 6. DynamoDB's limits where it has one (docs: TransactWriteItems 100 actions and 4 MB, item 400 KB, sort key 1,024 bytes). */
export const storeLimits = {
  partitionBytesMax: 255,
  sortBytesMax: 1_024,
  versionCharsMax: 32,
  /** Key, value, version and expiry together. */
  itemBytesMax: 400 * 1_024,
  commitWritesMax: 100,
  commitBytesMax: 4 * 1_024 * 1_024,
  getKeysMax: 100,
  scanItemsMax: 1_000,
} as const;

/** Bytes that an item counts with, against the limits and for the bill: its key, value, version, expiry and the short names of those fields. */
export function itemBytes(item: {
  readonly key: Key;
  readonly value: Uint8Array | readonly Uint8Array[];
  readonly version: Version;
  readonly expiresAt?: number;
}): number {
  const { key, value, version, expiresAt } = item;
  const fieldNames = 4;
  // Its name, ten digits of seconds, and two bytes of milliseconds behind the value.
  const expiry = expiresAt === undefined ? 0 : 9;
  const sizes = key.partition.length + key.sort.length + valueBytes(value) + version.length;
  return sizes + fieldNames + expiry;
}

/** The length of a value that may come in parts. */
export function valueBytes(value: Uint8Array | readonly Uint8Array[]): number {
  if (value instanceof Uint8Array) return value.length;
  return value.reduce((sum, part) => sum + part.length, 0);
}

/** Throws where a commit breaks a limit of law 6. Every adapter calls it first. */
export function assertCommitWithinLimits(writes: readonly Write[]): void {
  const { commitWritesMax, commitBytesMax, itemBytesMax, versionCharsMax } = storeLimits;
  assert(writes.length >= 1 && writes.length <= commitWritesMax, "a commit has 1 to 100 writes");
  const keysSeen = new Set<string>();
  let bytes = 0;
  for (const write of writes) {
    assertKeyWithinLimits(write.key);
    if (writes.length > 1) {
      const id = keyId(write.key);
      assert(!keysSeen.has(id), "a commit writes each key once");
      keysSeen.add(id);
    }
    if (write.kind !== "put") continue;
    const size = itemBytes(write);
    assert(size <= itemBytesMax, "an item has at most 400 KB");
    assert(
      /^[\x21-\x7e]+$/.test(write.version) && write.version.length <= versionCharsMax,
      "a version is 1 to 32 printable ASCII characters",
    );
    bytes += size;
  }
  assert(bytes <= commitBytesMax, "a commit has at most 4 MB");
}

/** Throws where a key breaks a limit of law 6. */
export function assertKeyWithinLimits({ partition, sort }: Key): void {
  assert(
    partition.length >= 1 && partition.length <= storeLimits.partitionBytesMax,
    "a partition key has 1 to 255 bytes",
  );
  assert(
    sort.length >= 1 && sort.length <= storeLimits.sortBytesMax,
    "a sort key has 1 to 1,024 bytes",
  );
}

/** The key as one string, for maps. */
export function keyId({ partition, sort }: Key): string {
  return `${String.fromCharCode(partition.length)}${String.fromCharCode(...partition)}${String.fromCharCode(...sort)}`;
}
