import { readU16, writeU16 } from "../bytes.ts";
import { Damaged } from "../ports/failures.ts";
import type { Item } from "../ports/store.ts";
import { decodeRecord, encodeRecord } from "../record.ts";
import type { Batch } from "./batch.ts";
import { encodeBatchRow, placedBatches, readBatchRow } from "./batch-row.ts";

/** A record and, while it is still to be appended, the row that its batch will be. */
export function encodeWithBatch(record: object, batch?: Batch): Uint8Array[] {
  const encoded = encodeRecord(record);
  const length = new Uint8Array(2);
  writeU16(length, 0, encoded.length);
  const row = batch && encodeBatchRow({ storedAt: 0, index: 0, segmentBytes: 0 }, [batch]);
  return [length, encoded, ...(row ?? [])];
}

/** The record of {@link encodeWithBatch}; `kind` names it in the error. Throws `Damaged`. */
export function recordOf<T extends object>(kind: string, { value }: Pick<Item, "value">): T {
  return decodeRecord<T>(kind, value.subarray(2, 2 + readU16(value, 0)));
}

/** Whether there is a batch behind the record, by the length alone. */
export function hasBatch({ value }: Pick<Item, "value">): boolean {
  return value.length > 2 + readU16(value, 0);
}

/** The batch behind the record. Throws `Damaged`. */
export function batchOf(kind: string, { key, value }: Pick<Item, "key" | "value">): Batch {
  const row = readBatchRow({ key, value: value.subarray(2 + readU16(value, 0)) });
  const [placed] = placedBatches(row);
  if (placed === undefined) throw new Damaged(kind);
  return placed.batch;
}
