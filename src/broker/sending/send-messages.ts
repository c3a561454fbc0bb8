import { expectQueue } from "../consuming/group-offsets.ts";
import { type BrokerError, invalid, isBrokerError } from "../errors.ts";
import { batchIdBytes, derivedMessageId, encodeBatch, readBatch } from "../log/batch.ts";
import type { Log } from "../log/log.ts";
import type { Message } from "../log/message.ts";
import { checkMessage } from "../log/message-rules.ts";
import { toBrokerError } from "../port-errors.ts";
import type { Ports } from "../ports/ports.ts";
import { queueOfBatch, queueOfGroup } from "../topics/queue-choice.ts";
import type { Topic } from "../topics/topic.ts";
import type { Topics } from "../topics/topics.ts";
import {
  expectAccepted,
  expectFits,
  expectMessageCount,
  expectWithinRetryWindow,
} from "./routing.ts";

export interface OutgoingMessage extends Omit<Message, "bornAt"> {
  readonly bornAt?: number;
  /** The queue it has to go to. Not together with a message group, which chooses one by itself. */
  readonly queue?: number;
}

export interface SendRequest {
  readonly topic: string;
  readonly messages: readonly OutgoingMessage[];
  /** Both or neither: with them the batch lands once, however often it is sent. `firstAttemptAt` is broker time, ms. */
  readonly batchId?: Uint8Array;
  readonly firstAttemptAt?: number;
}

export type SendResult =
  | { readonly messageId: string; readonly queue: number; readonly offset: number }
  | { readonly error: BrokerError };

interface Routed {
  readonly message: Message;
  readonly index: number;
}

/**
 * Sends messages, a batch for each queue that they go to. What is wrong with the request is thrown before anything is
 * stored; after that each queue's messages stand or fall together, and the results come in the order of the messages.
 */
export async function sendMessages(
  io: Ports,
  { topics, log }: { readonly topics: Topics; readonly log: Log },
  request: SendRequest,
): Promise<SendResult[]> {
  const { messages } = request;
  expectMessageCount(messages.length, "messages");
  const now = io.clock.now();
  const firstAttemptAt = request.firstAttemptAt ?? 0;
  if ((request.batchId === undefined) !== (request.firstAttemptAt === undefined)) {
    throw invalid(
      "batchId",
      request.batchId === undefined ? "absent" : "given",
      "given together with firstAttemptAt",
    );
  }
  if (request.firstAttemptAt !== undefined) expectWithinRetryWindow(firstAttemptAt, now);
  const id = request.batchId ?? io.random.bytes(batchIdBytes);
  const topic = await topics.get(io, request.topic);
  const bornAt = request.firstAttemptAt ?? now;
  const batches = [...routed(topic, messages, { id, bornAt })].map(([queue, members]) => ({
    queue,
    members,
    batch: readBatch(encodeMembers(members, { id, firstAttemptAt })),
  }));
  for (const { batch, members } of batches)
    expectFits(batch.bytes.length, fieldOf(members), members.length);

  const placed = await log.place(io, batches, topic);
  const results: SendResult[] = new Array(messages.length);
  await Promise.all(
    placed.map(async ({ queue, members, batch }) => {
      try {
        const { base } = await log.append(io, { topicId: topic.id, queue }, batch, topic);
        members.forEach(({ message, index }, place) => {
          const messageId = message.messageId ?? derivedMessageId(id, queue, place);
          results[index] = { messageId, queue, offset: base + place };
        });
      } catch (cause) {
        const error = toBrokerError(cause);
        if (!isBrokerError(error)) throw error;
        for (const { index } of members) results[index] = { error };
      }
    }),
  );
  return results;
}

function routed(
  topic: Topic,
  messages: readonly OutgoingMessage[],
  { id, bornAt }: { id: Uint8Array; bornAt: number },
): Map<number, Routed[]> {
  const byQueue = new Map<number, Routed[]>();
  messages.forEach(({ queue, ...outgoing }, index) => {
    const path = `messages[${index}]`;
    const message: Message = { ...outgoing, bornAt: outgoing.bornAt ?? bornAt };
    checkMessage(message, path);
    expectAccepted(topic, message, path);
    const chosen = chosenQueue(topic, { message, queue, id, path });
    const members = byQueue.get(chosen);
    if (members === undefined) byQueue.set(chosen, [{ message, index }]);
    else members.push({ message, index });
  });
  return byQueue;
}

function chosenQueue(
  topic: Topic,
  {
    message,
    queue,
    id,
    path,
  }: { message: Message; queue: number | undefined; id: Uint8Array; path: string },
): number {
  const { messageGroup } = message;
  if (queue === undefined) {
    return messageGroup === undefined
      ? queueOfBatch(id, topic.queues)
      : queueOfGroup(messageGroup, topic.queues);
  }
  if (messageGroup !== undefined) {
    throw invalid(
      `${path}.queue`,
      queue,
      "absent where messageGroup is given, which chooses the queue",
    );
  }
  expectQueue(topic, queue, `${path}.queue`);
  return queue;
}

function encodeMembers(
  members: readonly Routed[],
  { id, firstAttemptAt }: { id: Uint8Array; firstAttemptAt: number },
): Uint8Array {
  const messages = members.map(({ message }) => message);
  return encodeBatch({ id, firstAttemptAt, bornAt: messages[0]?.bornAt ?? 0, messages });
}

function fieldOf(members: readonly Routed[]): string {
  return members.length === 1 ? `messages[${members[0]?.index}]` : "messages";
}
