import type { BlobKey, BlobPage, BlobRange, Blobs } from "../../broker/ports/blobs.ts";
import { type Faults, runUnderFault, throwUnavailable } from "./faults.ts";

/** Blobs whose calls meet faults. */
export class FaultyBlobs implements Blobs {
  readonly #blobs: Blobs;
  readonly #faults: Faults;

  constructor(blobs: Blobs, faults: Faults) {
    this.#blobs = blobs;
    this.#faults = faults;
  }

  put(key: BlobKey, bytes: Uint8Array): Promise<"stored" | "exists" | "unknown"> {
    return this.#run(
      "put",
      () => this.#blobs.put(key, bytes),
      () => "unknown",
    );
  }

  get(key: BlobKey, range?: BlobRange): Promise<Uint8Array | undefined> {
    return this.#run("get", () => this.#blobs.get(key, range), throwUnavailable);
  }

  delete(key: BlobKey): Promise<void> {
    return this.#run("delete", () => this.#blobs.delete(key), throwUnavailable);
  }

  list(
    prefix: string,
    options: { readonly after?: BlobKey; readonly limit: number },
  ): Promise<BlobPage> {
    return this.#run("list", () => this.#blobs.list(prefix, options), throwUnavailable);
  }

  #run<T>(method: string, run: () => Promise<T>, lost: () => T): Promise<T> {
    const { plan, clock } = this.#faults;
    return runUnderFault(plan({ port: "blobs", method }), clock, run, lost);
  }
}
