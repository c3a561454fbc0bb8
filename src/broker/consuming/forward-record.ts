import { hex } from "../bytes.ts";
import { newVersion } from "../chance.ts";
import { crc32c } from "../crc32c.ts";
import { limits } from "../limits.ts";
import { derivedMessageId } from "../log/batch.ts";
import { encodeMessages } from "../log/message.ts";
import type { Ports } from "../ports/ports.ts";
import type { Item, Key, Put } from "../ports/store.ts";
import { decodeRecord, encodeRecord } from "../record.ts";
import type { OutgoingMessage } from "../sending/outgoing-message.ts";
import { waitingName } from "../sending/send-messages.ts";
import { textId } from "../text-hash.ts";
import { recallHandleOf } from "../timers/recall-handle.ts";

export interface ForwardedTo {
  readonly topic: string;
  readonly messages: readonly OutgoingMessage[];
}

export type ForwardResult =
  | {
      readonly topic: string;
      readonly messageId: string;
      readonly queue: number;
      readonly offset: number;
    }
  | {
      readonly topic: string;
      readonly messageId: string;
      readonly deliverAt: number;
      readonly recallHandle: string;
    };

/** Where a message lies, or its queue and when it is to be there. */
export type ForwardedPlace =
  | { readonly queue: number; readonly offset: number }
  | { readonly queue: number; readonly deliverAt: number };

/** What a forward did, kept for those who ask again. */
export interface ForwardRecord {
  /** Of what was sent: other messages under the same receipts are refused. */
  readonly digest: string;
  /** In the order of the messages. */
  readonly places: readonly ForwardedPlace[];
}

/** The same for every attempt: whoever forwards the same deliveries means the same forward. */
export function forwardIdOf(handles: readonly string[]): Uint8Array {
  return textId([...new Set(handles)].sort().join(" "));
}

/** The id of the batches that a forward sends to a topic. */
export function batchIdOf(forwardId: Uint8Array, topic: string): Uint8Array {
  return textId(`${hex(forwardId)} ${topic}`);
}

/** Of what the caller gave; when messages were born counts only where he said so. */
export function digestOf(sends: readonly ForwardedTo[]): string {
  const told = sends.map(({ topic, messages }) => [
    topic,
    messages.map(({ queue, deliverAt, delayMs, delayLevel, ...message }) => {
      const content = encodeMessages([{ ...message, bornAt: message.bornAt ?? 0 }], 0);
      return [crc32c(content), content.length, { queue, deliverAt, delayMs, delayLevel }];
    }),
  ]);
  return hex(textId(JSON.stringify(told)));
}

/** Refused where an earlier attempt of the same forward put it. */
export function forwardPut(io: Ports, key: Key, record: ForwardRecord): Put {
  return {
    kind: "put",
    key,
    value: encodeRecord(record),
    version: newVersion(io.random),
    expiresAt: io.clock.now() + limits.forwardKeptMs,
    expect: "absent",
  };
}

/** Throws `Damaged`. */
export function readForward({ value }: Item): ForwardRecord {
  return decodeRecord<ForwardRecord>("forward", value);
}

/** What the caller is told, the first time and every other. */
export function resultsOf(
  forwardId: Uint8Array,
  sends: readonly ForwardedTo[],
  places: readonly ForwardedPlace[],
): ForwardResult[] {
  const inBatches = new Map<string, number>();
  return messagesOf(sends).map(({ topic, message }, index) => {
    const id = batchIdOf(forwardId, topic);
    const place = places[index];
    if (place === undefined) throw new Error("a forward has a place for each message");
    const { queue } = place;
    if ("deliverAt" in place) {
      const { deliverAt } = place;
      const { messageId, timer } = waitingName(id, { queue, index, message });
      const recallHandle = recallHandleOf({ dueAt: deliverAt, id: timer });
      return { topic, messageId, deliverAt, recallHandle };
    }
    const batch = `${queue} ${topic}`;
    const inBatch = inBatches.get(batch) ?? 0;
    inBatches.set(batch, inBatch + 1);
    const messageId = message.messageId ?? derivedMessageId(id, queue, inBatch);
    return { topic, messageId, queue, offset: place.offset };
  });
}

/** All messages of a forward, in their order. */
export function messagesOf(
  sends: readonly ForwardedTo[],
): { readonly topic: string; readonly message: OutgoingMessage; readonly path: string }[] {
  return sends.flatMap(({ topic, messages }, send) =>
    messages.map((message, index) => ({
      topic,
      message,
      path: `sends[${send}].messages[${index}]`,
    })),
  );
}
