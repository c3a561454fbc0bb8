import { assert } from "../../broker/assert.ts";
import {
  assertKeyWithinLimits,
  type CommitResult,
  type Expectation,
  type Item,
  type Key,
  type ScanRange,
  storeLimits,
  type Write,
} from "../../broker/ports/store.ts";

/** What the laws of the store say about one commit, for engines that can look before they write. */
export function judgeCommit(
  writes: readonly Write[],
  found: readonly (Item | undefined)[],
  now: number,
): CommitResult | "apply" {
  // Law 4. It comes before the conditions, because a put without one would be done twice and undo
  // what others have done since.
  const own = writes.some(
    (write, i) => write.kind === "put" && found[i]?.version === write.version,
  );
  if (own) return { outcome: "applied" };
  if (writes.every((write, i) => holds(write.expect, found[i], now))) return "apply";
  const current = writes.map((write, i) =>
    write.expect === "vacant" ? found[i] : unexpired(found[i], now),
  );
  return { outcome: "refused", current };
}

function holds(expect: Expectation | undefined, item: Item | undefined, now: number): boolean {
  if (expect === undefined) return true;
  if (expect === "vacant") return item === undefined;
  const seen = unexpired(item, now);
  return expect === "absent" ? seen === undefined : seen?.version === expect.version;
}

/** Law 5: the item as a read shows it. */
export function unexpired(item: Item | undefined, now: number): Item | undefined {
  return item?.expiresAt !== undefined && item.expiresAt <= now ? undefined : item;
}

/** Throws where a `get` breaks a limit of law 6. */
export function assertGetWithinLimits(keys: readonly Key[]): void {
  assert(keys.length <= storeLimits.getKeysMax, "a get has at most 100 keys");
  for (const key of keys) assertKeyWithinLimits(key);
}

/** Throws where a `scan` breaks a limit of law 6. A bound may be empty, unlike a key. */
export function assertScanWithinLimits({ partition, from, to, limit, bytesMax }: ScanRange): void {
  const { partitionBytesMax, sortBytesMax, scanItemsMax } = storeLimits;
  assert(
    partition.length >= 1 && partition.length <= partitionBytesMax,
    "a partition key has 1 to 255 bytes",
  );
  for (const bound of [from, to]) {
    assert((bound?.length ?? 0) <= sortBytesMax, "a bound has at most 1,024 bytes");
  }
  assert(
    Number.isInteger(limit) && limit >= 1 && limit <= scanItemsMax,
    "a scan asks for 1 to 1,000 items",
  );
  assert(bytesMax === undefined || bytesMax >= 1, "a scan asks for at least 1 byte");
}
