import { invalid } from "../errors.ts";
import { type Batch, decodeBatch, readBatch } from "../log/batch.ts";
import { BatchFormatError } from "../log/batch-format-error.ts";
import type { Log } from "../log/log.ts";
import type { Message } from "../log/message.ts";
import { checkMessage } from "../log/message-rules.ts";
import type { Compression } from "../ports/compression.ts";
import type { Ports } from "../ports/ports.ts";
import { expectQueue, queueOfBatch, queueOfGroup } from "../topics/queue-choice.ts";
import type { Topic } from "../topics/topic.ts";
import type { Topics } from "../topics/topics.ts";
import { expectAccepted, expectFits, expectWithinRetryWindow } from "./routing.ts";

export interface SendBatchRequest {
  readonly topic: string;
  /** One batch in its stored form (docs/batch-format.md), and nothing behind it. */
  readonly bytes: Uint8Array;
  readonly queue?: number;
  readonly messageGroup?: string;
}

export interface SentBatch {
  readonly queue: number;
  /** Offset of the first message; the others follow without a gap. */
  readonly offset: number;
  readonly count: number;
  readonly storedAt: number;
}

/** Sends a batch that its producer encoded. It is checked as messages are, and stored as it came. */
export async function sendBatch(
  io: Ports,
  { topics, log }: { readonly topics: Topics; readonly log: Log },
  { topic: name, bytes, ...target }: SendBatchRequest,
): Promise<SentBatch> {
  const { batch, messages } = await parse(bytes, io.compression);
  if (batch.firstAttemptAt > 0) expectWithinRetryWindow(batch.firstAttemptAt, io.clock.now());
  const topic = await topics.get(io, name);
  messages.forEach((message, index) => {
    checkMessage(message, `messages[${index}]`);
    expectAccepted(topic, message, `messages[${index}]`);
  });
  const queue = chosenQueue(topic, { batch, messages, ...target });
  const place = { topicId: topic.id, queue };
  const [placed] = await log.place(io, [{ batch }], topic);
  const { base, storedAt } = await log.append(io, place, placed?.batch ?? batch, topic);
  return { queue, offset: base, count: batch.count, storedAt };
}

async function parse(
  bytes: Uint8Array,
  compression: Compression,
): Promise<{ readonly batch: Batch; readonly messages: Message[] }> {
  try {
    const batch = readBatch(bytes);
    expectFits(batch.bytes.length, "batch", batch.count);
    if (batch.bytes.length < bytes.length) {
      throw invalid(
        "batch",
        `${bytes.length - batch.bytes.length} more bytes`,
        "one batch and nothing behind it",
      );
    }
    return { batch, messages: await decodeBatch(batch, compression) };
  } catch (error) {
    if (error instanceof BatchFormatError) throw invalid(error.field, error.given, error.allowed);
    throw error;
  }
}

/** Every message group in the batch has to belong to the queue it goes to, or its order would be lost. */
function chosenQueue(
  topic: Topic,
  target: {
    readonly batch: Batch;
    readonly messages: readonly Message[];
    readonly queue?: number;
    readonly messageGroup?: string;
  },
): number {
  const { batch, messages, queue } = target;
  if (queue !== undefined && target.messageGroup !== undefined) {
    throw invalid("queue", queue, "absent where messageGroup is given, which chooses the queue");
  }
  if (queue !== undefined) expectQueue(topic, queue);
  const messageGroup =
    target.messageGroup ??
    messages.find((message) => message.messageGroup !== undefined)?.messageGroup;
  const ofGroup = messageGroup === undefined ? undefined : queueOfGroup(messageGroup, topic.queues);
  const chosen = queue ?? ofGroup ?? queueOfBatch(batch.id, topic.queues);
  messages.forEach((message, index) => {
    if (message.messageGroup === undefined) return;
    const belongsTo = queueOfGroup(message.messageGroup, topic.queues);
    if (belongsTo !== chosen) {
      throw invalid(
        `messages[${index}].messageGroup`,
        message.messageGroup,
        `a group of queue ${chosen}; this one is of queue ${belongsTo}`,
      );
    }
  });
  return chosen;
}
