import type { QueueId } from "../schema.ts";
import type { BatchRow } from "./batch-row.ts";

interface Kept {
  readonly queue: number;
  readonly base: number;
  readonly bytes: number;
}

/**
 * Rows that were read lately, verified once: several groups that follow one queue read it from the store once. A row
 * never changes, so what is here is never wrong; whether its queue still exists is asked elsewhere.
 */
export class RowCache {
  readonly #bytesMax: number;
  readonly #queues = new Map<number, Map<number, BatchRow>>();
  /** In the order in which they came, which is the order in which they go. */
  readonly #kept: Kept[] = [];
  #oldest = 0;
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The row that begins at `base`. */
  get(queue: QueueId, base: number): BatchRow | undefined {
    return this.#queues.get(numberOf(queue))?.get(base);
  }

  add(queue: QueueId, row: BatchRow): void {
    const number = numberOf(queue);
    const rows = this.#queues.get(number) ?? new Map<number, BatchRow>();
    if (rows.has(row.base) || row.batches.length > this.#bytesMax) return;
    this.#queues.set(number, rows);
    rows.set(row.base, row);
    const bytes = row.batches.length + overheadBytes;
    this.#kept.push({ queue: number, base: row.base, bytes });
    this.#bytes += bytes;
    while (this.#bytes > this.#bytesMax) this.#dropOldest();
  }

  #dropOldest(): void {
    const oldest = this.#kept[this.#oldest++];
    if (oldest === undefined) return;
    const rows = this.#queues.get(oldest.queue);
    rows?.delete(oldest.base);
    if (rows?.size === 0) this.#queues.delete(oldest.queue);
    this.#bytes -= oldest.bytes;
    // The list is cut now and then, for to cut it each time would move all of it.
    if (this.#oldest > 1_024 && this.#oldest > this.#kept.length / 2) {
      this.#kept.splice(0, this.#oldest);
      this.#oldest = 0;
    }
  }
}

/** What a row costs besides its bytes: its object, its views, its places in the maps. */
const overheadBytes = 512;

/** A queue number has 16 bits in the store's keys too. */
function numberOf({ topicId, queue }: QueueId): number {
  return topicId * 65_536 + queue;
}
