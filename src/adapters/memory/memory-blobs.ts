import { assert } from "../../broker/assert.ts";
import {
  type BlobKey,
  type BlobPage,
  type BlobRange,
  type Blobs,
  isBlobKey,
} from "../../broker/ports/blobs.ts";

/** The blobs of tests and of the simulator. */
export class MemoryBlobs implements Blobs {
  readonly #blobs = new Map<BlobKey, Uint8Array>();

  async put(key: BlobKey, bytes: Uint8Array): Promise<"stored" | "exists"> {
    assert(isBlobKey(key), "a blob key is well-formed");
    if (this.#blobs.has(key)) return "exists";
    this.#blobs.set(key, Uint8Array.from(bytes));
    return "stored";
  }

  async get(key: BlobKey, range?: BlobRange): Promise<Uint8Array | undefined> {
    assert(isBlobKey(key), "a blob key is well-formed");
    const bytes = this.#blobs.get(key);
    return range ? bytes?.slice(range.start, range.start + range.length) : bytes?.slice();
  }

  async delete(key: BlobKey): Promise<void> {
    assert(isBlobKey(key), "a blob key is well-formed");
    this.#blobs.delete(key);
  }

  async list(
    prefix: string,
    { after = "", limit }: { readonly after?: BlobKey; readonly limit: number },
  ): Promise<BlobPage> {
    assert(Number.isInteger(limit) && limit >= 1 && limit <= 1_000, "a page has 1 to 1,000 blobs");
    // Keys are ASCII, so strings compare as their bytes do.
    const keys = [...this.#blobs.keys()].filter((key) => key.startsWith(prefix) && key > after);
    const page = keys.sort().slice(0, limit);
    const blobs = page.map((key) => ({ key, bytes: this.#blobs.get(key)?.length ?? 0 }));
    return { blobs, more: keys.length > limit };
  }
}
