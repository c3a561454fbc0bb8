import type { MemoryBlobs } from "../../src/adapters/memory/memory-blobs.ts";
import type { BlobKey, BlobRange, Blobs } from "../../src/broker/ports/blobs.ts";
import { Unavailable } from "../../src/broker/ports/failures.ts";
import { largeObjectsPrefix } from "./large-objects.ts";
import type { Line } from "./line.ts";

type PutOutcome = Awaited<ReturnType<Blobs["put"]>>;

/** The cell's blobs as one process reaches them. */
export class SimulatedBlobs implements Blobs {
  readonly #blobs: MemoryBlobs;
  readonly #line: Line;
  readonly #lateMsMax: number;

  /** `lateMsMax`: the longest that a put is on its way after nobody waits for it any more. */
  constructor(blobs: MemoryBlobs, line: Line, lateMsMax: number) {
    this.#blobs = blobs;
    this.#line = line;
    this.#lateMsMax = lateMsMax;
  }

  get(key: BlobKey, range?: BlobRange) {
    return this.#line.ask(
      () => `get blob ${key}`,
      async () => {
        const bytes = await this.#blobs.get(key, range);
        if (bytes !== undefined && isLarge(key)) this.#line.world.count("log large batch read");
        return bytes;
      },
    );
  }

  list(prefix: string, options: Parameters<Blobs["list"]>[1]) {
    return this.#line.ask(
      () => `list blobs ${prefix}`,
      () => this.#blobs.list(prefix, options),
    );
  }

  delete(key: BlobKey): Promise<void> {
    return this.#line.ask(
      () => `delete blob ${key}`,
      async () => {
        const dropped = isLarge(key) ? "large object dropped" : "blob dropped";
        if ((await this.#blobs.get(key)) !== undefined) this.#line.world.count(`log ${dropped}`);
        await this.#blobs.delete(key);
      },
    );
  }

  put(key: BlobKey, bytes: Uint8Array): Promise<PutOutcome> {
    const line = this.#line;
    const { world } = line;
    const { rates } = world;
    return new Promise((resolve, reject) => {
      const answer = (ms: number, outcome: PutOutcome) =>
        line.answer(
          ms,
          () => `put blob ${key}: ${outcome}`,
          () => resolve(outcome),
        );
      line.mayStall();
      if (line.crashes("crash", rates.crash / 2)) return;
      if (world.befalls("unavailable", rates.unavailable)) {
        line.answer(
          line.latency(rates.slow),
          () => `put blob ${key}: unavailable`,
          () => reject(new Unavailable("simulated")),
        );
        return;
      }
      if (world.befalls("blob lost on its way", rates.blobLost)) {
        answer(line.latency(1), "unknown");
        return;
      }
      if (world.befalls("late blob", rates.lateBlob)) {
        answer(line.latency(0), "unknown");
        world.after(world.dice.between(100, this.#lateMsMax), () => {
          line.note(() => `put blob ${key}: late`);
          void this.#blobs.put(key, bytes);
        });
        return;
      }
      world.after(line.latency(rates.slow), () => {
        void this.#putNow(key, bytes).then((outcome) => {
          if (line.crashes("crash after blob", 80 * rates.crash)) return;
          const lost = world.befalls("reply of blob lost", rates.blobLost);
          answer(line.latency(lost ? 1 : rates.slow), lost ? "unknown" : outcome);
        });
      });
    });
  }

  /** An adapter that was not answered tries again by itself, and may meet its own first attempt. */
  async #putNow(key: BlobKey, bytes: Uint8Array): Promise<PutOutcome> {
    const outcome = await this.#blobs.put(key, bytes);
    const { world } = this.#line;
    return world.befalls("duplicate", world.rates.duplicate)
      ? this.#blobs.put(key, bytes)
      : outcome;
  }
}

function isLarge(key: BlobKey): boolean {
  return key.startsWith(largeObjectsPrefix);
}
