import type { TransactionStateName } from "../../src/broker/transactions/transaction.ts";

/** What somebody was told of how a transaction ended. */
export interface OutcomeTold {
  readonly by: string;
  readonly state: TransactionStateName;
  readonly place: string | undefined;
}

export interface CheckTold {
  readonly by: string;
  readonly check: number;
  readonly askedAt: number;
  readonly toldAt: number;
}

/** A transaction, as its producers saw it. What they decided is their local database, which outlives them. */
export interface TransactionSeen {
  readonly uid: string;
  readonly id: Uint8Array;
  readonly topic: string;
  /** When its first attempt left, or somewhat earlier. */
  readonly begunAt: number;
  decided: "commit" | "rollback" | undefined;
  /** When somebody asked first for it to be committed. */
  commitAskedAt: number;
  /** When somebody asked first for it to be ended. */
  endAskedAt: number;
  readonly told: OutcomeTold[];
  readonly checks: CheckTold[];
  /** Both ends were asked for on purpose. */
  isContested?: boolean;
  /** How often its webhook answered that it does not know. */
  unknowns?: number;
  /** How it ended, when everything had come to rest; `undefined`: it was never stored. */
  final?: TransactionStateName | undefined;
  /** It ended so long ago that the broker knows nothing of it any more. */
  isForgotten?: boolean;
}

/** The producer group of all of them. */
export const producers = "shop";
