import { nextSort } from "../all-items.ts";
import { limits } from "../limits.ts";
import { Damaged } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import type { Item } from "../ports/store.ts";
import { partitions, transactionShard, transactionShards } from "../schema.ts";
import { decodeTransaction, type Transaction, type TransactionStateName } from "./transaction.ts";
import type { NamedTransaction } from "./transactions.ts";

/** A page ends after so many reads, however few of what it read were asked for. */
const readsMax = 20;
const pageItems = 1_000;

export interface ListRequest {
  readonly state?: TransactionStateName;
  readonly producerGroup?: string;
  /** Where the page begins: what the one before answered as `next`. */
  readonly from?: Uint8Array;
  readonly limit: number;
}

export interface ListedPage {
  readonly found: readonly NamedTransaction[];
  /** Those that cannot be read. */
  readonly damaged: readonly Uint8Array[];
  /** Where the next page begins; a page may hold none and yet have a next one. */
  readonly next: Uint8Array | undefined;
}

/**
 * Transactions by their ids, a bounded part of them: no index leads to those of a state, for it would be paid for with
 * every commit.
 */
export async function listTransactions(
  io: Ports,
  { state, producerGroup, from: begin, limit }: ListRequest,
): Promise<ListedPage> {
  const found: NamedTransaction[] = [];
  const damaged: Uint8Array[] = [];
  let from = begin ?? Uint8Array.of(0);
  for (let read = 1; read <= readsMax; read++) {
    const shard = transactionShard(from);
    const range = { partition: partitions.transactions(shard), from };
    const page = await io.store.scan({
      ...range,
      limit: pageItems,
      bytesMax: limits.pullBytesMax,
    });
    for (const item of page.items) {
      const id = item.key.sort;
      if (found.length === limit) return { found, damaged, next: id };
      const transaction = readable(item);
      if (transaction === undefined) damaged.push(id);
      else if (
        (state === undefined || state === transaction.state) &&
        (producerGroup === undefined || producerGroup === transaction.producerGroup)
      )
        found.push({ id, transaction });
    }
    const last = page.items.at(-1);
    if (page.more && last !== undefined) from = nextSort(last.key.sort);
    else if (shard + 1 === transactionShards) return { found, damaged, next: undefined };
    else from = Uint8Array.of(shard + 1);
  }
  return { found, damaged, next: from };
}

function readable(item: Item): Transaction | undefined {
  try {
    return decodeTransaction(item);
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    return undefined;
  }
}
