import { newVersion } from "../chance.ts";
import type { Ports } from "../ports/ports.ts";
import type { Item, Put, Write } from "../ports/store.ts";
import { decodeRecord, encodeRecord } from "../record.ts";
import { dueAtOf, keys } from "../schema.ts";

/** That a half message is to be checked back, in the partition of its producer group and sorted by when. */
export interface CheckEntry {
  /** How often somebody was asked. */
  readonly checks: number;
  readonly preparedAt: number;
}

export function decodeCheckEntry({ value }: Item): CheckEntry {
  return decodeRecord<CheckEntry>("check entry", value);
}

export function encodeCheckEntry(entry: CheckEntry): Uint8Array {
  return encodeRecord(entry);
}

/** Which transaction an entry is of. */
export function transactionOfCheck({ key }: Item): Uint8Array {
  return key.sort.subarray(8);
}

export function checkDueAt({ key }: Item): number {
  return dueAtOf(key.sort);
}

export interface CheckName {
  readonly producerGroup: string;
  readonly dueAt: number;
  readonly id: Uint8Array;
}

export function checkPut(
  io: Ports,
  { producerGroup, dueAt, id }: CheckName,
  entry: CheckEntry,
): Put {
  return {
    kind: "put",
    key: keys.check(producerGroup, dueAt, id),
    value: encodeCheckEntry(entry),
    version: newVersion(io.random),
  };
}

/** Whether or not it is still there: once it was given out it lies elsewhere, and whoever meets it there removes it. */
export function checkDelete({ producerGroup, dueAt, id }: CheckName): Write {
  return { kind: "delete", key: keys.check(producerGroup, dueAt, id) };
}
