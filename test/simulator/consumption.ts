import type { Received } from "../../src/broker/consuming/give-out.ts";
import { receiptHandleOf } from "../../src/broker/consuming/receipt-handle.ts";

/** A consumer group of a run. */
export interface GroupPlan {
  readonly name: string;
  readonly orderly: boolean;
  readonly maxAttempts: number;
  readonly retryMs: readonly number[];
  /** Members that poll; else receivers. */
  readonly polls: boolean;
}

/** A message that a receiver was given. Instants are of the broker that gave it, whose clock may be wrong. */
export interface Delivery {
  readonly receiver: string;
  readonly group: string;
  readonly topic: string;
  readonly uid: string;
  readonly queue: string;
  readonly offset: number;
  /** Where the message was sent to: queue and offset. */
  readonly place: string;
  /** Which request was given it. */
  readonly request: string;
  readonly messageGroup: string | undefined;
  readonly handle: string;
  readonly attempt: number;
  readonly grantedAt: number;
  /** When the answer came (true time). */
  readonly seenAt: number;
  /** Until when it is his alone: extended where he was told so, ended where he gave it back. */
  until: number;
  acknowledged?: { readonly startedAt: number; readonly endedAt: number | undefined };
  /** An acknowledgement whose outcome is unknown may have been made. */
  maybeAcknowledged?: boolean;
  givenBack?: boolean;
}

/** A commit of a member that was accepted. */
export interface MemberCommit {
  readonly member: string;
  readonly group: string;
  readonly queue: string;
  readonly generation: number;
  readonly startedAt: number;
}

/** A member was told that queues are its own. */
export interface Told {
  readonly member: string;
  readonly group: string;
  readonly generation: number;
  readonly queues: readonly string[];
  readonly seenAt: number;
}

/** A dead letter as it lies there at the end. */
export interface DeadLetterSeen {
  readonly group: string;
  readonly uid: string;
  readonly place: string;
  readonly attempts: number;
  readonly reason: string;
}

/** What receivers and members saw, and what is left for them at the end. */
export class Consumption {
  readonly deliveries: Delivery[] = [];
  readonly commits: MemberCommit[] = [];
  readonly told: Told[] = [];
  readonly groups: GroupPlan[] = [];
  readonly deadLetters: DeadLetterSeen[] = [];
  /** By group: what the auditor was given when everything had come to rest. */
  readonly drained = new Map<string, Set<string>>();
  readonly #byHandle = new Map<string, Delivery>();

  /** Notes what a receiver was given. A handle that he was given before is the same delivery. */
  gave(
    receiver: string,
    group: string,
    received: readonly Received[],
    { invisibleMs, seenAt }: { readonly invisibleMs: number; readonly seenAt: number },
  ): Delivery[] {
    return received.map((each) => {
      const handle = receiptHandleOf(each.receipt);
      const known = this.#byHandle.get(handle);
      if (known !== undefined) return known;
      const { messageGroup, body } = each.stored.message;
      const queue = `${each.topic}/${each.queue}`;
      const { offset } = each.stored;
      const delivery: Delivery = {
        receiver,
        group,
        topic: each.topic,
        uid: uidIn(body),
        queue,
        offset,
        place: `${queue}@${offset}`,
        request: `${receiver} ${each.receipt.place} ${each.receipt.stamp}`,
        messageGroup,
        handle,
        attempt: each.deliveryAttempt,
        grantedAt: each.invisibleUntil - invisibleMs,
        seenAt,
        until: each.invisibleUntil,
      };
      this.#byHandle.set(handle, delivery);
      this.deliveries.push(delivery);
      return delivery;
    });
  }
}

/** Producers put it in front of every body. */
export function uidIn(body: Uint8Array): string {
  return new TextDecoder().decode(body).split(" ")[0] ?? "";
}
