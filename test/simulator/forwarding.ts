/** A message that was sent with a row, as its producer saw it. */
export interface EnlistedSeen {
  readonly uid: string;
  readonly startedAt: number;
  /** Somebody was told that both are there. */
  told: boolean;
}

/** A forward of some deliveries, as whoever asked for it saw it. */
export interface ForwardSeen {
  readonly uid: string;
  /** The messages that it acknowledges. */
  readonly sources: readonly string[];
  readonly handles: readonly string[];
  readonly hasRow: boolean;
  /** What was told, as text: every attempt is to be told the same. */
  readonly results: Set<string>;
  /** Somebody was told that a receipt is stale: so nothing of it is there. */
  stale: boolean;
  readonly startedAt: number;
}

/** What forwarders saw, and what is there at the end. */
export class Forwarding {
  readonly enlisted: EnlistedSeen[] = [];
  readonly forwards: ForwardSeen[] = [];
  /** By topic: how often each uid is there. */
  readonly found = new Map<string, Map<string, number>>();
  /** Queues of these topics that could not be read to their end. */
  readonly unreadable: string[] = [];
  /** Uids that have a row. */
  readonly rows = new Set<string>();
  /** What the group was given when everything had come to rest: what nobody acknowledged. */
  readonly drained = new Set<string>();
}

/** What was begun so long before the end, or earlier, may have been trimmed: the topics keep 72 hours. */
export const forwardsKeptMs = 70 * 3_600_000;

export const forwardGroup = "hops";
/** Where messages come in, and the two that each forward sends to. */
export const forwardTopics = [
  { name: "inbox", queues: 1 },
  { name: "hop", queues: 2 },
  { name: "ledger", queues: 1 },
] as const;
