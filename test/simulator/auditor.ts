import { Consumption } from "./consumption.ts";

/** One try to send a message, as its producer saw it. Without an end it was cut off: its outcome is unknown. */
export interface SendAttempt {
  readonly startedAt: number;
  endedAt?: number;
  outcome: "acknowledged" | "refused" | "unknown";
  /** The network sent it twice: the other copy may arrive after this one has ended. */
  repeated?: boolean;
  queue?: number;
  offset?: number;
}

export interface SentMessage {
  readonly uid: string;
  readonly topic: string;
  /** Set where the producer waits for each message of the group before it sends the next. */
  readonly group: string | undefined;
  readonly attempts: SendAttempt[];
}

/** A pull that was answered, or one that was told that its offset is out of range. */
export interface Pull {
  readonly reader: string;
  readonly topic: string;
  readonly queue: number;
  readonly from: number;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly messages: readonly { readonly offset: number; readonly uid: string }[];
  readonly min: number;
  readonly max: number;
  readonly outOfRange: boolean;
}

/** A committed offset that a client was told, by a commit or by asking. */
export interface OffsetSeen {
  readonly group: string;
  readonly topic: string;
  readonly queue: number;
  readonly offset: number;
  readonly startedAt: number;
  readonly endedAt: number;
}

/** From some time on a topic may have had this retention. */
export interface RetentionAsked {
  readonly topic: string;
  readonly retentionMs: number;
  readonly startedAt: number;
}

/** A client was told that stored bytes are damaged, though nothing damages any here, or that a queue is gone that is not. */
export interface DamageTold {
  readonly what: "damaged" | "gone";
  readonly reader: string;
  readonly topic: string;
  readonly queue: number;
  readonly from: number;
}

export interface Deletion {
  readonly topic: string;
  readonly startedAt: number;
  readonly endedAt: number;
}

/** What can be read when everything has come to rest. */
export interface FinalLog {
  readonly topic: string;
  readonly queue: number;
  readonly min: number;
  readonly max: number;
  readonly messages: readonly { readonly offset: number; readonly uid: string }[];
  /** Why reading ended before the end. */
  readonly unreadable?: string;
}

/** A message at a place, as somebody was told of it. */
export interface Sighting {
  readonly by: string;
  readonly topic: string;
  readonly queue: number;
  readonly offset: number;
  readonly uid: string;
}

/**
 * Everything that clients saw, and at the end what can be read. The invariants judge by this alone; nothing inside the
 * broker tells them anything.
 */
export class Auditor {
  readonly sent = new Map<string, SentMessage>();
  readonly pulls: Pull[] = [];
  readonly consumption = new Consumption();
  readonly offsetsSeen: OffsetSeen[] = [];
  readonly deletions: Deletion[] = [];
  readonly retentions: RetentionAsked[] = [];
  readonly damages: DamageTold[] = [];
  readonly final: FinalLog[] = [];
  /** When that was. */
  finalAt = Number.POSITIVE_INFINITY;
  readonly finalOffsets = new Map<string, number>();
  /** What remained that nobody needs and nobody will remove. */
  readonly leftBehind: string[] = [];
  /** Topics that are deleted now and then: what was in them may be gone. */
  readonly volatile = new Set<string>();

  /** The messages of topics that are never deleted. */
  *lasting(): Generator<SentMessage> {
    for (const message of this.sent.values()) if (!this.volatile.has(message.topic)) yield message;
  }

  /** Every message that anybody saw or was told of in topics that are never deleted. */
  *sightings(): Generator<Sighting> {
    for (const { uid, topic, attempts } of this.lasting()) {
      for (const { outcome, queue = -1, offset = -1 } of attempts) {
        if (outcome === "acknowledged") yield { by: "its producer", topic, queue, offset, uid };
      }
    }
    for (const { reader, topic, queue, messages } of this.pulls) {
      if (this.volatile.has(topic)) continue;
      for (const { offset, uid } of messages) yield { by: reader, topic, queue, offset, uid };
    }
    for (const { topic, queue, messages } of this.final) {
      for (const { offset, uid } of messages)
        yield { by: "the auditor", topic, queue, offset, uid };
    }
  }

  acknowledgement(message: SentMessage): SendAttempt | undefined {
    return message.attempts.find(({ outcome }) => outcome === "acknowledged");
  }
}

export interface Violation {
  readonly invariant: string;
  readonly what: string;
  /** The message concerned, where there is one, to print its history. */
  readonly uid?: string;
}

/** Something that must hold whatever happened. One file each. */
export interface Invariant {
  readonly name: string;
  check(seen: Auditor): Iterable<Omit<Violation, "invariant">>;
}
