import { limits } from "../../src/broker/limits.ts";
import { Consumption } from "./consumption.ts";
import type { DelayedMessage, ListSeen } from "./delayed-message.ts";
import { Forwarding } from "./forwarding.ts";
import type { TransactionSeen } from "./transactions-seen.ts";

/** One try to send a message, as its producer saw it. Without an end it was cut off: its outcome is unknown. */
export interface SendAttempt {
  readonly startedAt: number;
  endedAt?: number;
  /** `waits`: it was stored to be delivered later. */
  outcome: "acknowledged" | "waits" | "refused" | "unknown";
  /** The network sent it twice: the other copy may arrive after this one has ended. */
  repeated?: boolean;
  queue?: number;
  offset?: number;
  /** As its producer was told. */
  messageId?: string;
}

export interface SentMessage {
  readonly uid: string;
  readonly topic: string;
  readonly keys: readonly string[];
  /** CRC32C of its body. */
  readonly checksum: number;
  /** Set where the producer waits for each message of the group before it sends the next. */
  readonly group: string | undefined;
  readonly attempts: SendAttempt[];
}

/** A message as somebody was given it. */
export interface SeenMessage {
  readonly offset: number;
  readonly uid: string;
  readonly storedAt: number;
  /** CRC32C of its body. */
  readonly checksum: number;
}

/** A pull that was answered, or one that was told that its offset is out of range. */
export interface Pull {
  readonly reader: string;
  readonly topic: string;
  readonly queue: number;
  readonly from: number;
  readonly startedAt: number;
  readonly endedAt: number;
  readonly messages: readonly SeenMessage[];
  readonly min: number;
  readonly max: number;
  readonly outOfRange: boolean;
}

/** Somebody asked which message was the first that was stored at or after an instant. */
export interface OffsetAsked {
  readonly reader: string;
  readonly topic: string;
  readonly queue: number;
  readonly at: number;
  readonly offset: number;
  readonly startedAt: number;
  readonly endedAt: number;
}

export interface FoundMessage extends SeenMessage {
  readonly queue: number;
  readonly messageId: string;
}

export interface SearchPageSeen {
  readonly limit: number;
  readonly found: readonly FoundMessage[];
  readonly scannedTo: { readonly queue: number; readonly offset: number };
}

/** A search through a topic, as far as it came. */
export interface SearchSeen {
  readonly reader: string;
  readonly topic: string;
  readonly key?: string;
  readonly messageId?: string;
  readonly from?: number;
  readonly to?: number;
  readonly startedAt: number;
  readonly pages: SearchPageSeen[];
  /** When the last page was answered. */
  endedAt: number;
  /** It was told that everything was searched. */
  complete: boolean;
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
  /** The place that it asked for. */
  readonly place: string;
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
  readonly messages: readonly SeenMessage[];
  /** Why reading ended before the end. */
  readonly unreadable?: string;
}

export interface Place {
  readonly topic: string;
  readonly queue: number;
  readonly offset: number;
}

/** A message at a place, as somebody was told of it. */
export interface Sighting extends Place {
  readonly by: string;
  readonly uid: string;
}

/** A message that somebody was given. */
export interface Seeing extends Sighting, SeenMessage {}

/**
 * Everything that clients saw, and at the end what can be read. The invariants judge by this alone; nothing inside the
 * broker tells them anything.
 */
export class Auditor {
  readonly sent = new Map<string, SentMessage>();
  /** Those of them that are to wait. */
  readonly delayed = new Map<string, DelayedMessage>();
  readonly lists: ListSeen[] = [];
  readonly pulls: Pull[] = [];
  readonly consumption = new Consumption();
  readonly forwarding = new Forwarding();
  readonly offsetsAsked: OffsetAsked[] = [];
  readonly searches: SearchSeen[] = [];
  readonly offsetsSeen: OffsetSeen[] = [];
  readonly deletions: Deletion[] = [];
  /** By their ids, in hexadecimal digits. */
  readonly transactions = new Map<string, TransactionSeen>();
  /** Their producer group has a webhook, which answers at the end. */
  hasWebhook = false;
  readonly retentions: RetentionAsked[] = [];
  readonly damages: DamageTold[] = [];
  readonly final: FinalLog[] = [];
  /** When that was. */
  finalAt = Number.POSITIVE_INFINITY;
  /** The log again when everything that waited was due and somebody swept, in runs where something waited. */
  readonly later: FinalLog[] = [];
  laterAt = Number.POSITIVE_INFINITY;
  /** What waits even then. */
  readonly stillWaiting: string[] = [];
  readonly finalOffsets = new Map<string, number>();
  /** What remained that nobody needs and nobody will remove. */
  readonly leftBehind: string[] = [];
  /** Topics that are deleted now and then: what was in them may be gone. */
  readonly volatile = new Set<string>();

  /** Those that wait, or waited, in topics that are never deleted. */
  *lastingDelayed(): Generator<DelayedMessage> {
    for (const message of this.delayed.values())
      if (!this.volatile.has(message.topic)) yield message;
  }

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
    yield* this.seen();
  }

  /** Every message that anybody was given of topics that are never deleted. */
  *seen(): Generator<Seeing> {
    for (const { reader: by, topic, queue, messages } of this.pulls) {
      if (this.volatile.has(topic)) continue;
      for (const message of messages) yield { by, topic, queue, ...message };
    }
    for (const { reader: by, topic, pages } of this.searches) {
      if (this.volatile.has(topic)) continue;
      for (const message of pages.flatMap(({ found }) => found)) yield { by, topic, ...message };
    }
    for (const { topic, queue, messages } of [...this.final, ...this.later]) {
      for (const message of messages) yield { by: "the auditor", topic, queue, ...message };
    }
  }

  /** Whether a message that lay there was certainly not trimmed before an instant. */
  wasThereAt({ topic, queue, offset }: Place, at: number): boolean {
    const isHere = (told: {
      readonly topic: string;
      readonly queue: number;
      readonly min: number;
    }) => told.topic === topic && told.queue === queue && told.min <= offset;
    // What is told of the beginning of a queue may be so old.
    return (
      this.final.some(isHere) ||
      this.pulls.some((pull) => pull.startedAt - limits.directoryAgeMsMax > at && isHere(pull))
    );
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
