import { BrokerError } from "../errors.ts";
import type { Version, Write } from "../ports/store.ts";
import type { Batch } from "./batch.ts";
import type { Landing, TailChain } from "./tail-chain.ts";

export interface Appended {
  /** Queue offset of the batch's first message. */
  readonly base: number;
  readonly storedAt: number;
}

/** What else the commit does in which a batch lands at this place: one write, under the version of what it turns. */
export type Turn = (place: Appended) => Write & { readonly expect: { readonly version: Version } };

/** What an append was to turn has been turned by somebody else, so the batch has not landed. */
export class Superseded extends Error {
  override readonly name = "Superseded";

  constructor() {
    super("somebody else was faster");
  }
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
  readonly turn: Turn | undefined;
  /** The chain in which it is known not to have landed. */
  coveredIn: TailChain | undefined;
  readonly #callers: Caller[];

  constructor(
    batch: Batch,
    options: {
      readonly giveUpAt: number;
      readonly retentionMs: number;
      readonly turn: Turn | undefined;
    },
    caller: Caller,
  ) {
    this.batch = batch;
    this.giveUpAt = options.giveUpAt;
    this.retentionMs = options.retentionMs;
    this.turn = options.turn;
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
