import { readU32 } from "../../src/broker/bytes.ts";
import { type Key, keyId, type Write } from "../../src/broker/ports/store.ts";
import { readWork } from "../../src/broker/work/work.ts";
import { partitionLetter } from "./describe-key.ts";

/**
 * What landed when nobody counted with it any more: a row after its deadline (law 7 of the store), and what a broker
 * that was stopped puts into a topic whose removal has begun. It is nobody's, and rows of it expire.
 */
export class LandedLate {
  readonly #keys = new Set<string>();
  /** From when on a deleted topic is removed, by its id. */
  readonly #removedFrom = new Map<number, number>();

  /** Notes what was put after its deadline. */
  add(writes: readonly Write[]): void {
    for (const { key } of writes) this.#keys.add(keyId(key));
  }

  /** Looks at a commit that was just applied. */
  look(writes: readonly Write[], now: number): void {
    for (const { key, ...write } of writes) {
      const letter = partitionLetter(key);
      if (write.kind !== "put") continue;
      if (letter === "W" && write.value instanceof Uint8Array) {
        const { dueAt, work } = readWork({ key, value: write.value, version: write.version });
        if (work.kind === "delete-topic" && work.round === 1)
          this.#removedFrom.set(work.topicId, dueAt);
      }
      if (letter !== "B" && letter !== "G") continue;
      const removedFrom = this.#removedFrom.get(readU32(key.partition, 1));
      if (removedFrom !== undefined && removedFrom < now) this.#keys.add(keyId(key));
    }
  }

  has(key: Key): boolean {
    return this.#keys.has(keyId(key));
  }
}
