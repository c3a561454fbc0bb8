import { newVersion } from "../chance.ts";
import { BrokerError, invalid } from "../errors.ts";
import { limits } from "../limits.ts";
import type { RefusedWrite } from "../log/pending-append.ts";
import type { Ports } from "../ports/ports.ts";
import {
  type Expectation,
  itemBytes,
  type Key,
  keyId,
  storeLimits,
  valueBytes,
  type Write,
} from "../ports/store.ts";
import { isOwn } from "../schema.ts";

/** What is done to a row of whoever embeds the broker. Its key is one of `keys.own`; what lies in it is nobody else's business. */
export type OwnWrite =
  | {
      readonly kind: "put";
      readonly key: Key;
      readonly value: Uint8Array;
      readonly expiresAt?: number;
      readonly expect?: Expectation;
    }
  | { readonly kind: "delete"; readonly key: Key; readonly expect?: Expectation }
  | { readonly kind: "check"; readonly key: Key; readonly expect: Expectation };

/** The writes of these rows. Throws `invalid` where one is not his, or they are more than a commit takes. */
export function ownWrites(io: Ports, rows: readonly OwnWrite[]): Write[] {
  if (rows.length === 0 || rows.length > limits.ownRowsMax)
    throw invalid("rows", `${rows.length} rows`, `1 to ${limits.ownRowsMax} rows`);
  const total = ownBytes(rows);
  if (total > limits.ownBytesMax)
    throw invalid("rows", `${total} bytes`, `at most ${limits.ownBytesMax} bytes together`);
  const seen = new Set<string>();
  return rows.map((row, index) => {
    const field = `rows[${index}]`;
    if (!isOwn(row.key)) throw invalid(`${field}.key`, "another key", "one that keys.own made");
    if (row.key.partition.length > storeLimits.partitionBytesMax)
      throw invalid(`${field}.key`, row.key.partition.length, "a shorter name of rows");
    if (row.key.sort.length < 1 || row.key.sort.length > storeLimits.sortBytesMax)
      throw invalid(`${field}.key`, row.key.sort.length, "a sort key of 1 to 1,024 bytes");
    if (seen.has(keyId(row.key))) throw invalid(`${field}.key`, "twice", "written once");
    seen.add(keyId(row.key));
    const { expect } = row;
    if (expect === "vacant") throw invalid(`${field}.expect`, expect, "absent, or a version");
    if (row.kind !== "put") return row;
    const put = { ...row, version: newVersion(io.random) };
    const size = itemBytes(put);
    if (size > storeLimits.itemBytesMax)
      throw invalid(`${field}.value`, `${size} bytes`, `at most ${storeLimits.itemBytesMax} bytes`);
    return put;
  });
}

/** About how much of a commit they take. */
export function ownBytes(rows: readonly OwnWrite[]): number {
  return rows.reduce((sum, row) => {
    const value = row.kind === "put" ? valueBytes(row.value) : 0;
    return sum + row.key.partition.length + row.key.sort.length + value;
  }, 0);
}

/** A lost race for the end of the queue is tried again by the log; this is what the caller asked for and is not so. */
export function conditionFailed(
  writes: readonly Write[],
  refused: readonly RefusedWrite[],
): BrokerError {
  const failed = refused.map(({ write, current }) => ({
    row: writes.indexOf(write),
    current: current?.version ?? "absent",
  }));
  const [first] = failed;
  return new BrokerError("condition_failed", "a row is not what was expected", {
    field: `rows[${first?.row}].expect`,
    failed,
  });
}
