import { concatBytes } from "../../broker/bytes.ts";
import type { Clock } from "../../broker/ports/clock.ts";
import { Unavailable } from "../../broker/ports/failures.ts";
import {
  assertCommitWithinLimits,
  type CommitResult,
  type Item,
  type Key,
  type ScanPage,
  type ScanRange,
  type Store,
  type Write,
} from "../../broker/ports/store.ts";
import {
  assertGetWithinLimits,
  assertScanWithinLimits,
  judgeCommit,
  unexpired,
} from "./store-rules.ts";

/**
 * The store of tests and of the simulator. A call does all its work before it returns its promise,
 * so calls never interleave. The values that reads hand out are the stored ones: nobody may write
 * into them.
 */
export class MemoryStore implements Store {
  readonly #clock: Clock;
  /** The items of each partition, sorted by their sort keys. */
  readonly #partitions = new Map<string, Item[]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async get(keys: readonly Key[]): Promise<(Item | undefined)[]> {
    assertGetWithinLimits(keys);
    const now = this.#clock.now();
    return keys.map((key) => unexpired(this.#find(key), now));
  }

  async scan(range: ScanRange): Promise<ScanPage> {
    assertScanWithinLimits(range);
    const now = this.#clock.now();
    const all = this.#partitions.get(partitionId(range.partition)) ?? [];
    const start = range.from ? place(all, range.from).index : 0;
    const end = range.to ? placeBehind(all, range.to) : all.length;
    const inRange = all.slice(start, Math.max(start, end));
    if (range.reverse) inRange.reverse();

    const items: Item[] = [];
    let bytes = 0;
    for (const item of inRange) {
      if (items.length >= range.limit || bytes >= (range.bytesMax ?? Number.POSITIVE_INFINITY)) {
        return { items, more: true };
      }
      if (!unexpired(item, now)) continue;
      items.push(item);
      bytes += item.value.length;
    }
    return { items, more: false };
  }

  async commit(writes: readonly Write[], until: number): Promise<CommitResult> {
    assertCommitWithinLimits(writes);
    const now = this.#clock.now();
    if (now > until) throw new Unavailable("the commit came too late");
    const found = writes.map((write) => this.#find(write.key));
    const verdict = judgeCommit(writes, found, now);
    if (verdict !== "apply") return verdict;
    for (const write of writes) this.#write(write);
    return { outcome: "applied" };
  }

  /** Expired items stay until somebody calls this, as those of a lazy engine do. */
  removeExpired(): void {
    const now = this.#clock.now();
    for (const [id, items] of this.#partitions) {
      this.#partitions.set(
        id,
        items.filter((item) => unexpired(item, now)),
      );
    }
  }

  /** All that is physically there, also what has expired: for whoever looks for what is left behind. */
  *everything(): Generator<Item> {
    for (const items of this.#partitions.values()) yield* items;
  }

  #find({ partition, sort }: Key): Item | undefined {
    const items = this.#partitions.get(partitionId(partition)) ?? [];
    const { index, found } = place(items, sort);
    return found ? items[index] : undefined;
  }

  #write(write: Write): void {
    if (write.kind === "check") return;
    const id = partitionId(write.key.partition);
    const items = this.#partitions.get(id) ?? [];
    this.#partitions.set(id, items);
    const { index, found } = place(items, write.key.sort);
    items.splice(index, found ? 1 : 0, ...(write.kind === "put" ? [copied(write)] : []));
  }
}

/** The caller keeps its buffers and may use them again. */
function copied({ key, value, version, expiresAt }: Write & { kind: "put" }): Item {
  return {
    key: { partition: key.partition.slice(), sort: key.sort.slice() },
    value: value instanceof Uint8Array ? value.slice() : concatBytes(value),
    version,
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}

function partitionId(partition: Uint8Array): string {
  return String.fromCharCode(...partition);
}

/** Where the item with this sort key is, or would be. */
function place(items: readonly Item[], sort: Uint8Array): { index: number; found: boolean } {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = items[middle];
    if (item && Buffer.compare(item.key.sort, sort) < 0) low = middle + 1;
    else high = middle;
  }
  const item = items[low];
  return { index: low, found: item !== undefined && Buffer.compare(item.key.sort, sort) === 0 };
}

function placeBehind(items: readonly Item[], sort: Uint8Array): number {
  const { index, found } = place(items, sort);
  return found ? index + 1 : index;
}
