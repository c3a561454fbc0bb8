import type { Ports } from "./ports/ports.ts";
import {
  type CommitResult,
  type Item,
  itemBytes,
  type Key,
  type ScanRange,
  type Store,
  type Write,
} from "./ports/store.ts";

/** What was asked of the ports on somebody's behalf, in the units that AWS bills. */
export class Usage {
  writeUnits = 0;
  readUnits = 0;
  blobPuts = 0;
  blobGets = 0;
  storeRequests = 0;
}

/** The same ports, counting into `usage`. A request has its own; who leads a group commit pays for it. */
export function metered(ports: Ports, usage: Usage): Ports {
  const { blobs } = ports;
  return {
    ...ports,
    store: new MeteredStore(ports.store, usage),
    blobs: {
      put: (key, bytes) => {
        usage.blobPuts++;
        return blobs.put(key, bytes);
      },
      get: (key, range) => {
        usage.blobGets++;
        return blobs.get(key, range);
      },
      delete: (key) => blobs.delete(key),
      list: (prefix, options) => blobs.list(prefix, options),
    },
  };
}

const writeUnitBytes = 1_024;
const readUnitBytes = 4_096;

/**
 * Counts by DynamoDB's published rules: a write unit per KB of the item, at least one, doubled in a transaction, and as
 * much for a refused one by the item that it met; a read unit per 4 KB, each item of a get by itself, a page of a scan
 * as one.
 */
class MeteredStore implements Store {
  readonly #store: Store;
  readonly #usage: Usage;

  constructor(store: Store, usage: Usage) {
    this.#store = store;
    this.#usage = usage;
  }

  async get(keys: readonly Key[]): Promise<(Item | undefined)[]> {
    this.#usage.storeRequests++;
    const items = await this.#store.get(keys);
    for (const item of items)
      this.#usage.readUnits += units(item === undefined ? 0 : itemBytes(item), readUnitBytes);
    return items;
  }

  async scan(range: ScanRange) {
    this.#usage.storeRequests++;
    const page = await this.#store.scan(range);
    const bytes = page.items.reduce((sum, item) => sum + itemBytes(item), 0);
    this.#usage.readUnits += units(bytes, readUnitBytes);
    return page;
  }

  async commit(writes: readonly Write[], until: number): Promise<CommitResult> {
    this.#usage.storeRequests++;
    const result = await this.#store.commit(writes, until);
    const factor = writes.length > 1 ? 2 : 1;
    writes.forEach((write, index) => {
      const met = result.outcome === "refused" ? result.current[index] : undefined;
      const item = met ?? (write.kind === "put" ? write : undefined);
      this.#usage.writeUnits +=
        factor * units(item === undefined ? 0 : itemBytes(item), writeUnitBytes);
    });
    return result;
  }
}

function units(bytes: number, unitBytes: number): number {
  return Math.max(1, Math.ceil(bytes / unitBytes));
}
