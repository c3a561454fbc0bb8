import { concatBytes, writeU32 } from "../bytes.ts";
import { newVersion } from "../chance.ts";
import { limits } from "../limits.ts";
import type { Batch } from "../log/batch.ts";
import { batchOf, encodeWithBatch, hasBatch, recordOf } from "../log/record-with-batch.ts";
import type { Ports } from "../ports/ports.ts";
import type { Item, Put } from "../ports/store.ts";
import { textHash } from "../text-hash.ts";

/** When the message of a transaction is delivered: at an instant, or so long after the commit. Absent: at once. */
export type DelayAfterCommit = { readonly deliverAt: number } | { readonly delayMs: number };

/** The states that a transaction can be in; all but the first are for good, but that what is discarded can be revived. */
export const transactionStates = ["PREPARED", "COMMITTED", "ROLLED_BACK", "DISCARDED"] as const;
export type TransactionStateName = (typeof transactionStates)[number];

export type TransactionState =
  | { readonly state: "PREPARED" }
  | { readonly state: "COMMITTED"; readonly endedAt: number; readonly offset: number }
  /** Its message waits, or waited, as a timer. */
  | { readonly state: "COMMITTED"; readonly endedAt: number; readonly deliverAt: number }
  | { readonly state: "ROLLED_BACK"; readonly endedAt: number }
  | { readonly state: "DISCARDED"; readonly endedAt: number };

/** A message that becomes visible when its sender says so. While that is open, and where it was discarded, its batch is behind the record. */
export type Transaction = {
  readonly topic: string;
  readonly topicId: number;
  readonly queue: number;
  readonly producerGroup: string;
  readonly messageId: string;
  /** Of its batch: another payload under the same id is refused. */
  readonly checksum: number;
  readonly bornAt: number;
  readonly delay?: DelayAfterCommit;
  readonly preparedAt: number;
  /** When it was to be checked first, since it was prepared or revived: there lies its check entry until it is given out. */
  readonly checkAt: number;
} & TransactionState;

export const transactionIdBytes = 16;
export const transactionIdChars = 2 * transactionIdBytes;

/** The place of a prepared message in its batch id: apart from those of sent and of delayed ones. */
export const preparedPlace = 65_535;

/** The id of whoever prepares again with the same message id of his own: the same transaction. */
export function idOfMessage(topicId: number, producerGroup: string, messageId: string): Uint8Array {
  const words = ["a", "b"].flatMap((half) => {
    const { high, low } = textHash(`${half}/${topicId}/${producerGroup}/${messageId}`);
    return [high, low];
  });
  return concatBytes(
    words.map((word) => {
      const bytes = new Uint8Array(4);
      writeU32(bytes, 0, word);
      return bytes;
    }),
  );
}

/** Throws `Damaged`. */
export function decodeTransaction(item: Item): Transaction {
  return recordOf<Transaction>("transaction", item);
}

/** The batch of one that is open or discarded. Throws `Damaged`. */
export function preparedBatch(item: Item): Batch {
  return batchOf("transaction", item);
}

/** Refused where an earlier attempt put it, whatever became of it since. */
export function preparedPut(
  io: Ports,
  key: Item["key"],
  transaction: Transaction,
  batch: Batch,
): Put {
  const value = encodeWithBatch(transaction, batch);
  return { kind: "put", key, value, version: newVersion(io.random), expect: "absent" };
}

/** What became of it, under the version of what it was. What is revivable, or open, keeps its batch. */
export function turned(io: Ports, item: Item, transaction: Transaction): Put {
  const { state } = transaction;
  const keepsBatch = hasBatch(item) && (state === "PREPARED" || state === "DISCARDED");
  const value = encodeWithBatch(transaction, keepsBatch ? preparedBatch(item) : undefined);
  const put = { kind: "put", key: item.key, value, version: newVersion(io.random) } as const;
  const expect = { version: item.version };
  if (state === "PREPARED") return { ...put, expect };
  return { ...put, expect, expiresAt: transaction.endedAt + limits.transactionKeptMs };
}
