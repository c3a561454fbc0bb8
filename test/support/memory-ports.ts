import { type FaultPlan, seededRandom } from "../../src/adapters/faulty/faults.ts";
import { FaultyStore } from "../../src/adapters/faulty/faulty-store.ts";
import { NodeCompression } from "../../src/adapters/local/node-compression.ts";
import { MemoryAlarm } from "../../src/adapters/memory/memory-alarm.ts";
import { MemoryBlobs } from "../../src/adapters/memory/memory-blobs.ts";
import { MemoryStore } from "../../src/adapters/memory/memory-store.ts";
import { MemoryWebhooks } from "../../src/adapters/memory/memory-webhooks.ts";
import type { Clock } from "../../src/broker/ports/clock.ts";
import type { Ports } from "../../src/broker/ports/ports.ts";
import type { Random } from "../../src/broker/ports/random.ts";
import type { Store } from "../../src/broker/ports/store.ts";

/** Ports in memory. They share nothing with others made here unless a store is passed on. */
export function memoryPorts<C extends Clock>(
  clock: C,
  { seed = 1, store = new MemoryStore(clock) }: { seed?: number; store?: Store } = {},
): Ports & { readonly clock: C } {
  return {
    store,
    blobs: new MemoryBlobs(),
    alarm: new MemoryAlarm({ clock, ring: async () => undefined }),
    clock,
    random: new SeededRandom(seed),
    compression: new NodeCompression(),
    webhooks: new MemoryWebhooks(),
  };
}

/** The same world through a store whose calls meet faults, with randomness of its own: what another broker would hold. */
export function behindFaults<P extends Ports>(ports: P, plan: FaultPlan, seed: number): P {
  const store = new FaultyStore(ports.store, { plan, clock: ports.clock });
  return { ...ports, store, random: new SeededRandom(seed) };
}

export class SeededRandom implements Random {
  readonly #draw: () => number;

  constructor(seed: number) {
    this.#draw = seededRandom(seed);
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => Math.floor(this.#draw() * 256));
  }
}
