import { statfs } from "node:fs/promises";

/** More than any disk writes between two looks. */
const plentyBytes = 512 * 1_024 * 1_024;
const lookedEveryMs = 1_000;

/**
 * Whether a disk is far from full. When a write of lmdb's own thread fails for want of room, lmdb 3.5.6 damages the
 * memory of the process as often as not (seen: malloc aborts), so near that point it is not given any: transactions with
 * a callback survive it.
 */
export class DiskRoom {
  readonly #folder: string;
  #plenty = false;
  #lookedAt = 0;
  #looking = false;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async of(folder: string): Promise<DiskRoom> {
    const room = new DiskRoom(folder);
    await room.#look();
    return room;
  }

  /** As of a second ago; `now` is by any clock that goes on. */
  plenty(now: number): boolean {
    if (!this.#looking && Math.abs(now - this.#lookedAt) >= lookedEveryMs) {
      this.#lookedAt = now;
      void this.#look();
    }
    return this.#plenty;
  }

  async #look(): Promise<void> {
    this.#looking = true;
    try {
      const { bavail, bsize } = await statfs(this.#folder);
      this.#plenty = bavail * bsize >= plentyBytes;
    } catch {
      this.#plenty = false;
    }
    this.#looking = false;
  }
}
