import { BrokerError } from "../errors.ts";
import type { Item, Key, Write } from "../ports/store.ts";
import type { Batch } from "./batch.ts";
import type { Landing, TailChain } from "./tail-chain.ts";

export interface Appended {
  /** Queue offset of the batch's first message. */
  readonly base: number;
  readonly storedAt: number;
}

/** What else the commit does in which a batch lands. */
export interface Along {
  /** The keys of its writes: two that write the same do not land together. */
  readonly keys: readonly Key[];
  /** About how many bytes they are, where they are not few. */
  readonly bytes?: number;
  /** The writes, one for each key, given where the batch lands. At least one demands something. */
  readonly writes: (place: Appended) => readonly Write[];
}

/** A write that was refused, and what lies in its place. */
export interface RefusedWrite {
  readonly write: Write;
  readonly current: Item | undefined;
}

/** What went along with an append was refused, so the batch has not landed: somebody else was faster, or a condition did not hold. */
export class Superseded extends Error {
  override readonly name = "Superseded";
  readonly refused: readonly RefusedWrite[];

  constructor(refused: readonly RefusedWrite[]) {
    super("what was to go along was refused");
    this.refused = refused;
  }
}

/** Those of the writes that asked for something else than what lies in their place. */
export function refusedOf(
  writes: readonly Write[],
  current: readonly (Item | undefined)[],
): RefusedWrite[] {
  return writes
    .map((write, index) => ({ write, current: current[index] }))
    .filter(({ write: { expect }, current: item }) => {
      if (expect === undefined) return false;
      return typeof expect === "string" ? item !== undefined : item?.version !== expect.version;
    });
}

interface Caller {
  resolve(appended: Appended): void;
  reject(error: Error): void;
}

/** A batch that waits for its place, with everybody who waits for it. */
export class PendingAppend {
  readonly batch: Batch;
  /** From then on its sender is told that the queue is contended rather than kept waiting. */
  readonly giveUpAt: number;
  /** The topic's retention: a segment that is opened for this batch keeps it so long (ms). */
  readonly retentionMs: number;
  readonly along: Along | undefined;
  /** The chain in which it is known not to have landed. */
  coveredIn: TailChain | undefined;
  readonly #callers: Caller[];

  constructor(
    batch: Batch,
    options: {
      readonly giveUpAt: number;
      readonly retentionMs: number;
      readonly along: Along | undefined;
    },
    caller: Caller,
  ) {
    this.batch = batch;
    this.giveUpAt = options.giveUpAt;
    this.retentionMs = options.retentionMs;
    this.along = options.along;
    this.#callers = [caller];
  }

  /** The same batch, sent again while this one waits: both are answered together (rule 6 of the log). */
  join(other: PendingAppend): void {
    if (other.batch.checksum !== this.batch.checksum) other.fail(keyReused());
    else this.#callers.push(...other.#callers);
  }

  succeed({ base, storedAt, checksum }: Landing): void {
    if (checksum !== this.batch.checksum) this.fail(keyReused());
    else for (const caller of this.#callers) caller.resolve({ base, storedAt });
  }

  fail(error: Error): void {
    for (const caller of this.#callers) caller.reject(error);
  }
}

export function keyReused(): BrokerError {
  return new BrokerError(
    "idempotency_key_reused",
    "another batch was sent under this batch id before",
    {
      field: "batchId",
      allowed: "an id that no other batch has, or the same batch again",
    },
  );
}
