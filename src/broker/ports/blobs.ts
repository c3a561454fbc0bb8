/**
 * The blobs port: immutable objects.
 *
 * Laws, which the contract suite tests on every adapter:
 *
 * 1. `put` never overwrites. A second put of a key is answered `exists` and the first bytes stay.
 * 2. A blob is seen whole or not at all; what `put` answered `stored` for is seen by every later `get` and `list`, in
 *    every process.
 * 3. `get` of a range answers the bytes that are there: a range that reaches past the end is cut, one that begins at
 *    or past the end is empty.
 * 4. `list` walks the keys that begin with a prefix, ordered as bytes, in pages.
 * 5. `delete` of a key that is not there succeeds.
 * 6. A put whose reply was lost may answer `unknown`: the blob may be there or may appear later.
 *
 * A call that surely had no effect throws `Unavailable`.
 */
export interface Blobs {
  put(key: BlobKey, bytes: Uint8Array): Promise<"stored" | "exists" | "unknown">;
  /** `undefined` where there is no such blob. */
  get(key: BlobKey, range?: BlobRange): Promise<Uint8Array | undefined>;
  delete(key: BlobKey): Promise<void>;
  /** The keys behind `after` that begin with `prefix`, at most `limit` (1 to 1,000). */
  list(
    prefix: string,
    options: { readonly after?: BlobKey; readonly limit: number },
  ): Promise<BlobPage>;
}

/** 1 to 512 characters of `A-Z a-z 0-9 . _ - /`, with no empty, `.` or `..` part between slashes. */
export type BlobKey = string;

export interface BlobRange {
  readonly start: number;
  readonly length: number;
}

export interface BlobPage {
  readonly blobs: readonly { readonly key: BlobKey; readonly bytes: number }[];
  readonly more: boolean;
}

const keyPattern = /^(?!.*(?:^|\/)\.{0,2}(?:\/|$))[A-Za-z0-9._/-]{1,512}$/;

/** Whether a string may name a blob. Adapters assert it before they touch anything. */
export function isBlobKey(key: string): key is BlobKey {
  return keyPattern.test(key);
}
