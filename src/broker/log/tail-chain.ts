import { limits } from "../limits.ts";
import type { Batch } from "./batch.ts";
import { type BatchRow, isSeal, type PlacedBatch, placedBatches } from "./batch-row.ts";
import type { SegmentEnd } from "./segment-changes.ts";

/** Where a batch landed. */
export interface Landing {
  readonly base: number;
  readonly storedAt: number;
  readonly checksum: number;
  /** When this broker learned of it (its clock, ms). */
  readonly learnedAt: number;
}

/**
 * What one broker has seen of the end of a queue: where the tail is, and every batch with an id that landed in an
 * unbroken chain of rows up to it. A batch that is about to land is looked up here first, so that it lands once
 * (rules 1 to 3 of the log).
 */
export class TailChain implements SegmentEnd {
  /** The offset that the next message gets. */
  offset: number;
  /** Of the last row, also of a segment before; -1 before the first. */
  storedAt: number;
  /** Of the segment that takes appends: its rows, and bytes of them. */
  rows: number;
  bytes: number;
  /** A seal lies at `offset`: the next segment begins there. */
  sealed = false;
  /** When the read or the append that showed this tail was issued: deadlines run from here. */
  issuedAt: number;
  readonly #landings = new Map<string, Landing>();
  /** No row with a later `storedAt` is unknown to this chain. */
  #unseenUpTo: number;
  /** No row that landed later is unknown to this chain. */
  #seenSince: number;

  constructor(seen: SegmentEnd & { readonly issuedAt: number; readonly returnedAt: number }) {
    this.offset = seen.offset;
    this.storedAt = seen.storedAt;
    this.rows = seen.rows;
    this.bytes = seen.bytes;
    this.issuedAt = seen.issuedAt;
    this.#unseenUpTo = seen.storedAt;
    this.#seenSince = seen.returnedAt;
  }

  /** Adds the row behind the last one. `undefined` where it does not follow: the chain is broken. */
  link(row: BatchRow, learnedAt: number): readonly PlacedBatch[] | undefined {
    if (row.base !== this.offset || row.index !== this.rows) return undefined;
    const placed = placedBatches(row);
    if (isSeal(row)) this.sealed = true;
    else this.linkOwn(placed, { learnedAt, rows: 1, bytes: row.segmentBytes - this.bytes });
    return placed;
  }

  /** Adds batches that follow the last row and that this broker has verified already, in so many rows of so many bytes. */
  linkOwn(
    placed: readonly PlacedBatch[],
    { learnedAt, rows, bytes }: { learnedAt: number; rows: number; bytes: number },
  ): void {
    this.rows += rows;
    this.bytes += bytes;
    for (const { base, storedAt, batch } of placed) {
      this.offset = base + batch.count;
      this.storedAt = storedAt;
      if (batch.firstAttemptAt > 0)
        this.#remember(batch.idKey, { base, storedAt, checksum: batch.checksum, learnedAt });
    }
  }

  /** Goes on in the segment that begins where this one was sealed. */
  enterNextSegment(): void {
    this.sealed = false;
    this.rows = 0;
    this.bytes = 0;
  }

  landingOf(batch: Batch): Landing | undefined {
    return batch.firstAttemptAt > 0 ? this.#landings.get(batch.idKey) : undefined;
  }

  /**
   * Whether a batch that is not found here has not landed at all: nothing that is unknown to this chain was stored, or
   * landed, after its first attempt.
   */
  covers(batch: Batch): boolean {
    if (batch.firstAttemptAt === 0) return true;
    return Math.min(this.#unseenUpTo, this.#seenSince) < lookBackTo(batch);
  }

  /** Notes a batch that was found below the chain by looking back. */
  recall(batch: Batch, place: Omit<Landing, "checksum">): void {
    this.#remember(batch.idKey, { ...place, checksum: batch.checksum });
  }

  #remember(id: string, landing: Landing): void {
    this.#landings.set(id, landing);
    if (this.#landings.size <= landingsKept) return;
    for (const [oldest, { storedAt, learnedAt }] of this.#landings) {
      this.#landings.delete(oldest);
      this.#unseenUpTo = Math.max(this.#unseenUpTo, storedAt);
      this.#seenSince = Math.max(this.#seenSince, learnedAt);
      break;
    }
  }
}

/** The `storedAt` below which no attempt of this batch can lie, whatever the clocks of the brokers that stored them. */
export function lookBackTo(batch: Batch): number {
  return batch.firstAttemptAt - 4 * limits.clockErrorMsMax;
}

/** Some seconds of the fastest queue; whoever was tried before that is looked for in the store. */
const landingsKept = 4_096;
