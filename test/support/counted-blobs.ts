import type { BlobKey, BlobPage, BlobRange, Blobs } from "../../src/broker/ports/blobs.ts";

/** Blobs that count what is read of them, and let a test act before a put. */
export class CountedBlobs implements Blobs {
  readonly #blobs: Blobs;
  beforePut: ((key: BlobKey) => Promise<void>) | undefined;
  reads = 0;

  constructor(blobs: Blobs) {
    this.#blobs = blobs;
  }

  async put(key: BlobKey, bytes: Uint8Array): Promise<"stored" | "exists" | "unknown"> {
    await this.beforePut?.(key);
    return this.#blobs.put(key, bytes);
  }

  get(key: BlobKey, range?: BlobRange): Promise<Uint8Array | undefined> {
    this.reads++;
    return this.#blobs.get(key, range);
  }

  delete(key: BlobKey): Promise<void> {
    return this.#blobs.delete(key);
  }

  list(prefix: string, options: { after?: BlobKey; limit: number }): Promise<BlobPage> {
    return this.#blobs.list(prefix, options);
  }
}
