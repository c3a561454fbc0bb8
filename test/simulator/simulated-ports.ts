import { gunzipSync } from "node:zlib";
import type { MemoryBlobs } from "../../src/adapters/memory/memory-blobs.ts";
import type { MemoryStore } from "../../src/adapters/memory/memory-store.ts";
import type { Clock } from "../../src/broker/ports/clock.ts";
import { Unavailable } from "../../src/broker/ports/failures.ts";
import type { Ports } from "../../src/broker/ports/ports.ts";
import type { CommitResult, Store, Write } from "../../src/broker/ports/store.ts";
import { describeKey, describeWrite } from "./describe-key.ts";
import type { SimulatedAlarm } from "./simulated-alarm.ts";
import type { Process, World } from "./world.ts";

export interface SimulatedCell {
  readonly world: World;
  readonly store: MemoryStore;
  readonly blobs: MemoryBlobs;
  readonly alarm: SimulatedAlarm;
}

/** What a process of the cell can be hit by while it makes a port call. */
export interface Hazards {
  crash(): void;
  stall(): void;
}

/** The ports of one broker process: the cell's store behind an unreliable network, under a clock of its own. */
export function simulatedPorts(
  cell: SimulatedCell,
  process: Process,
  { clockError, hazards }: { readonly clockError: number; readonly hazards: Hazards },
): Ports {
  const { world } = cell;
  const clock: Clock = {
    now: () => world.now + clockError,
    sleep: (ms, signal) => world.sleep(process, ms, signal),
  };
  return {
    store: new SimulatedStore(cell, process, { clockError, hazards }),
    blobs: cell.blobs,
    alarm: cell.alarm,
    clock,
    random: world.dice,
    compression: {
      gunzip: async (bytes, bytesMax) => gunzipSync(bytes, { maxOutputLength: bytesMax }),
    },
  };
}

class SimulatedStore implements Store {
  readonly #cell: SimulatedCell;
  readonly #process: Process;
  readonly #clockError: number;
  readonly #hazards: Hazards;

  constructor(
    cell: SimulatedCell,
    process: Process,
    { clockError, hazards }: { readonly clockError: number; readonly hazards: Hazards },
  ) {
    this.#cell = cell;
    this.#process = process;
    this.#clockError = clockError;
    this.#hazards = hazards;
  }

  get(keys: Parameters<Store["get"]>[0]) {
    return this.#read(
      () => `get ${keys.map(describeKey).join(" ")}`,
      () => this.#cell.store.get(keys),
    );
  }

  scan(range: Parameters<Store["scan"]>[0]) {
    return this.#read(
      () =>
        `scan ${describeKey({ partition: range.partition, sort: range.from ?? range.to ?? noBytes })}`,
      () => this.#cell.store.scan(range),
    );
  }

  /** A read has one failure: it is not answered. */
  #read<T>(what: () => string, read: () => Promise<T>): Promise<T> {
    const { world } = this.#cell;
    const { unavailable, slow, crash, stall } = world.rates;
    return new Promise((resolve, reject) => {
      this.#hit("crash", crash / 2, () => this.#hazards.crash());
      this.#hit("stall", stall / 2, () => this.#hazards.stall());
      const failed = this.#befalls("unavailable", unavailable);
      world.after(this.#latency(slow), () => {
        const answer = failed ? Promise.reject(new Unavailable("simulated")) : read();
        world.deliver(this.#process, this.#latency(slow), () => {
          world.steps++;
          world.note(() => `${this.#process.name} ${what()}: ${failed ? "unavailable" : "read"}`);
          answer.then(resolve, reject);
        });
        answer.catch(() => {});
      });
    });
  }

  commit(writes: readonly Write[], until: number): Promise<CommitResult> {
    const { world } = this.#cell;
    const { rates } = world;
    return new Promise((resolve, reject) => {
      const answer = (ms: number, result: CommitResult | Unavailable) =>
        world.deliver(this.#process, ms, () => {
          world.steps++;
          const outcome = result instanceof Unavailable ? "unavailable" : result.outcome;
          world.note(
            () =>
              `${this.#process.name} commit ${writes.map(describeWrite).join(", ")}: ${outcome}`,
          );
          if (result instanceof Unavailable) reject(result);
          else resolve(result);
        });
      this.#hit("stall", rates.stall, () => this.#hazards.stall());
      if (this.#hit("crash", rates.crash / 2, () => this.#hazards.crash())) return;
      if (this.#befalls("unavailable", rates.unavailable)) {
        answer(this.#latency(rates.slow), new Unavailable("simulated"));
        return;
      }
      if (this.#befalls("lost request", rates.lostRequest)) {
        answer(this.#latency(1), { outcome: "unknown" });
        return;
      }
      const late = this.#befalls("late effect", rates.lateEffect);
      if (late) answer(this.#latency(0), { outcome: "unknown" });
      world.after(this.#latency(late ? 1 : rates.slow), () => {
        void this.#apply(writes, until).then((result) => {
          if (late) return;
          if (this.#hit("crash after effect", 1.5 * rates.crash, () => this.#hazards.crash()))
            return;
          const lost = this.#befalls("lost reply", rates.lostReply);
          answer(this.#latency(lost ? 1 : rates.slow), lost ? { outcome: "unknown" } : result);
        });
      });
    });
  }

  /** What the engine makes of it, with the adapter's own retries: law 4 and law 7 hold whatever happens. */
  async #apply(writes: readonly Write[], until: number): Promise<CommitResult | Unavailable> {
    const { store, world } = this.#cell;
    // The adapter judges `until` by the clock of its process.
    const trueUntil = until - this.#clockError;
    const attempt = () => store.commit(writes, trueUntil).catch(asUnavailable);
    const result = await attempt();
    if (!this.#befalls("duplicate", world.rates.duplicate)) return result;
    const again = await attempt();
    return again instanceof Unavailable && result !== again ? { outcome: "unknown" } : again;
  }

  #latency(slowChance: number): number {
    const { dice, calm, latencyMs } = this.#cell.world;
    if (calm || slowChance === 0 || !dice.chance(slowChance)) return dice.between(...latencyMs);
    this.#cell.world.fault("slow");
    return dice.chance(0.1) ? dice.between(1_000, 90_000) : dice.between(20, 1_000);
  }

  #befalls(fault: string, rate: number): boolean {
    const { world } = this.#cell;
    if (world.calm || !world.dice.chance(rate)) return false;
    world.fault(fault);
    return true;
  }

  #hit(fault: string, rate: number, hazard: () => void): boolean {
    const hit = this.#befalls(fault, rate);
    if (hit) {
      this.#cell.world.note(() => `${this.#process.name} ${fault}`);
      hazard();
    }
    return hit;
  }
}

function asUnavailable(error: unknown): Unavailable {
  if (error instanceof Unavailable) return error;
  throw error;
}

const noBytes = new Uint8Array(0);
