import type { MemoryStore } from "../../src/adapters/memory/memory-store.ts";
import { unexpired } from "../../src/adapters/memory/store-rules.ts";
import { Unavailable } from "../../src/broker/ports/failures.ts";
import type { CommitResult, Store, Write } from "../../src/broker/ports/store.ts";
import { deedsOf } from "./deeds.ts";
import { describeKey, describeWrite, partitionLetter } from "./describe-key.ts";
import type { LandedLate } from "./landed-late.ts";
import type { Line } from "./line.ts";

/** What all processes of a cell share of its store. */
export interface SharedStore {
  readonly store: MemoryStore;
  /** What landed so late that it may lie where nobody looks any more. */
  readonly landedLate: LandedLate;
}

/** The cell's store as one process reaches it. */
export class SimulatedStore implements Store {
  readonly #shared: SharedStore;
  readonly #line: Line;
  readonly #clockError: number;

  constructor(shared: SharedStore, line: Line, clockError: number) {
    this.#shared = shared;
    this.#line = line;
    this.#clockError = clockError;
  }

  get(keys: Parameters<Store["get"]>[0]) {
    this.#letExpire();
    return this.#line.ask(
      () => `get ${keys.map(describeKey).join(" ")}`,
      () => this.#shared.store.get(keys),
    );
  }

  scan(range: Parameters<Store["scan"]>[0]) {
    this.#letExpire();
    // Who is stopped between the read of a tail and the append behind it does the most harm.
    if (range.reverse && range.limit === 1 && partitionLetter(range) === "B")
      this.#line.mayStallAtTail();
    return this.#line.ask(
      () =>
        `scan ${describeKey({ partition: range.partition, sort: range.from ?? range.to ?? noBytes })}`,
      () => this.#shared.store.scan(range),
    );
  }

  commit(writes: readonly Write[], until: number): Promise<CommitResult> {
    const line = this.#line;
    const { world } = line;
    const { rates } = world;
    this.#letExpire();
    return new Promise((resolve, reject) => {
      const answer = (ms: number, result: CommitResult | Unavailable) => {
        const outcome = result instanceof Unavailable ? "unavailable" : result.outcome;
        const what = () => `commit ${writes.map(describeWrite).join(", ")}: ${outcome}`;
        line.answer(ms, what, () => {
          if (result instanceof Unavailable) reject(result);
          else resolve(result);
        });
      };
      line.mayStall();
      if (line.crashes("crash", rates.crash / 2)) return;
      if (world.befalls("unavailable", rates.unavailable)) {
        answer(line.latency(rates.slow), new Unavailable("simulated"));
        return;
      }
      if (world.befalls("lost request", rates.lostRequest)) {
        answer(line.latency(1), { outcome: "unknown" });
        return;
      }
      if (isLonePut(writes) && world.befalls("put after its deadline", rates.putAfterDeadline)) {
        this.#putAfterDeadline(writes, until, () => answer(0, { outcome: "unknown" }));
        return;
      }
      const late = world.befalls("late effect", rates.lateEffect);
      if (late) answer(line.latency(0), { outcome: "unknown" });
      world.after(line.latency(late ? 1 : rates.slow), () => {
        void this.#apply(writes, until).then((result) => {
          if (late) return;
          if (line.crashes("crash after effect", 3 * rates.crash)) return;
          const lost = world.befalls("lost reply", rates.lostReply);
          answer(line.latency(lost ? 1 : rates.slow), lost ? { outcome: "unknown" } : result);
        });
      });
    });
  }

  /** The exception of law 7: the process is stopped behind its last look at `until`, and writes when it goes on. */
  #putAfterDeadline(writes: readonly Write[], until: number, answer: () => void): void {
    const { world } = this.#line;
    const { dice } = world;
    const left = Math.max(0, until - this.#clockError - world.now);
    const stopped = left + dice.between(1, dice.pick([30_000, 600_000, 7_200_000]));
    this.#line.stall(stopped);
    world.after(stopped, () => {
      const { store, landedLate } = this.#shared;
      void store.commit(writes, world.now).then(({ outcome }) => {
        if (outcome === "applied") landedLate.add(writes);
        answer();
      });
    });
  }

  /** What the engine makes of it, with the adapter's own retries: law 4 and law 7 hold whatever happens. */
  async #apply(writes: readonly Write[], until: number): Promise<CommitResult | Unavailable> {
    const { world } = this.#line;
    // The adapter judges `until` by the clock of its process.
    const trueUntil = until - this.#clockError;
    const attempt = () => this.#shared.store.commit(writes, trueUntil).catch(asUnavailable);
    const result = await attempt();
    if ("outcome" in result && result.outcome === "applied") {
      this.#shared.landedLate.look(writes, world.now);
      for (const deed of deedsOf(writes)) world.count(`log ${deed}`);
    }
    if (!world.befalls("duplicate", world.rates.duplicate)) return result;
    const again = await attempt();
    return again instanceof Unavailable && result !== again ? { outcome: "unknown" } : again;
  }

  /** The engine removes what has expired only now and then. */
  #letExpire(): void {
    const { world } = this.#line;
    if (world.calm || !world.dice.chance(world.rates.expiredRemoved)) return;
    const { store } = this.#shared;
    const lingering = [...store.everything()].some((item) => !unexpired(item, world.now));
    if (!lingering) return;
    world.fault("expired items linger");
    if (world.dice.chance(0.5)) store.removeExpired();
  }
}

function isLonePut(writes: readonly Write[]): boolean {
  const [write] = writes;
  return writes.length === 1 && write?.kind === "put" && write.expect === "vacant";
}

function asUnavailable(error: unknown): Unavailable {
  if (error instanceof Unavailable) return error;
  throw error;
}

const noBytes = new Uint8Array(0);
