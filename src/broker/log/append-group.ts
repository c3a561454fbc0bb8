import { limits } from "../limits.ts";
import { storeLimits } from "../ports/store.ts";
import type { Batch } from "./batch.ts";
import type { PendingAppend } from "./pending-append.ts";

/** Batches that land together in one commit, and the rows that they lie in. */
export class AppendGroup {
  readonly members: PendingAppend[] = [];
  /** Small ones share a row, so that a reader who wants little reads little; a large one is in a row by itself. */
  readonly rows: Batch[][] = [];
  readonly #bytesMax: number;
  #bytes = 0;
  #rowRoom = 0;
  #isFull = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Adds a batch if there is room. Behind the first for which there is none, there is none for any: order is kept. */
  add(pending: PendingAppend): boolean {
    const { bytes, large } = pending.batch;
    const startsRow = large !== undefined || bytes.length > this.#rowRoom;
    const writes = this.rows.length + (startsRow ? 1 : 0);
    const fits =
      writes <= storeLimits.commitWritesMax && this.#bytes + bytes.length <= this.#bytesMax;
    if (this.#isFull || (!fits && this.members.length > 0)) {
      this.#isFull = true;
      return false;
    }
    if (startsRow) {
      this.rows.push([]);
      this.#rowRoom = limits.rowBytesMax;
    }
    this.rows.at(-1)?.push(pending.batch);
    this.#rowRoom = large === undefined ? this.#rowRoom - bytes.length : 0;
    this.#bytes += bytes.length;
    this.members.push(pending);
    return true;
  }
}
