import { limits } from "../limits.ts";
import { keyId, storeLimits } from "../ports/store.ts";
import type { Batch } from "./batch.ts";
import type { PendingAppend } from "./pending-append.ts";

/** One write of a commit in which something goes along is for the check of the segment's entry. */
const writesMax = storeLimits.commitWritesMax - 1;

/** Batches that land together in one commit, and the rows that they lie in. */
export class AppendGroup {
  readonly members: PendingAppend[] = [];
  /** Small ones share a row, so that a reader who wants little reads little; a large one is in a row by itself. */
  readonly rows: Batch[][] = [];
  readonly #bytesMax: number;
  #bytes = 0;
  readonly #alongKeys = new Set<string>();
  #rowRoom = 0;
  #isFull = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Whether something else goes along in the commit in which these land. */
  get hasAlong(): boolean {
    return this.#alongKeys.size > 0;
  }

  /** Adds a batch if there is room. Behind the first for which there is none, there is none for any: order is kept. */
  add(pending: PendingAppend): boolean {
    const { bytes, large } = pending.batch;
    const startsRow = large !== undefined || bytes.length > this.#rowRoom;
    const along = pending.along?.keys.map(keyId) ?? [];
    const added = bytes.length + (pending.along?.bytes ?? 0);
    const writes = this.rows.length + this.#alongKeys.size + along.length + (startsRow ? 1 : 0);
    const fits =
      writes <= writesMax &&
      this.#bytes + added <= this.#bytesMax &&
      !along.some((key) => this.#alongKeys.has(key));
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
    this.#bytes += added;
    for (const key of along) this.#alongKeys.add(key);
    this.members.push(pending);
    return true;
  }
}
