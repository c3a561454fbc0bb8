import { limits } from "../limits.ts";
import { storeLimits } from "../ports/store.ts";
import type { Batch } from "./batch.ts";
import type { PendingAppend } from "./pending-append.ts";

/** One write of a commit that turns something is for the check of the segment's entry. */
const writesMax = storeLimits.commitWritesMax - 1;

/** Batches that land together in one commit, and the rows that they lie in. */
export class AppendGroup {
  readonly members: PendingAppend[] = [];
  /** Small ones share a row, so that a reader who wants little reads little; a large one is in a row by itself. */
  readonly rows: Batch[][] = [];
  readonly #bytesMax: number;
  #bytes = 0;
  #turns = 0;
  #rowRoom = 0;
  #isFull = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Whether something else is turned in the commit in which these land. */
  get turnsSomething(): boolean {
    return this.#turns > 0;
  }

  /** Adds a batch if there is room. Behind the first for which there is none, there is none for any: order is kept. */
  add(pending: PendingAppend): boolean {
    const { bytes, large } = pending.batch;
    const startsRow = large !== undefined || bytes.length > this.#rowRoom;
    const turns = pending.turn === undefined ? 0 : 1;
    const writes = this.rows.length + this.#turns + turns + (startsRow ? 1 : 0);
    const fits = writes <= writesMax && this.#bytes + bytes.length <= this.#bytesMax;
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
    this.#turns += turns;
    this.members.push(pending);
    return true;
  }
}
