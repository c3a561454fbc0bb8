import { type BrokerError, invalid, isBrokerError } from "../errors.ts";
import { limits } from "../limits.ts";
import { batchIdBytes, derivedMessageId, encodeBatch, readBatch } from "../log/batch.ts";
import type { Log } from "../log/log.ts";
import type { Message } from "../log/message.ts";
import { toBrokerError } from "../port-errors.ts";
import type { Ports } from "../ports/ports.ts";
import { recallHandleOf } from "../timers/recall-handle.ts";
import { timerId } from "../timers/timer.ts";
import type { NewTimer } from "../timers/timer-writes.ts";
import { portionsOf, type Timers } from "../timers/timers.ts";
import type { Topic } from "../topics/topic.ts";
import type { Topics } from "../topics/topics.ts";
import { type OutgoingMessage, routedTo } from "./outgoing-message.ts";
import {
  expectAccepted,
  expectFits,
  expectMessageCount,
  expectWithinRetryWindow,
} from "./routing.ts";

export interface SendRequest {
  readonly topic: string;
  readonly messages: readonly OutgoingMessage[];
  /** Both or neither: with them the batch lands once, however often it is sent. `firstAttemptAt` is broker time, ms. */
  readonly batchId?: Uint8Array;
  readonly firstAttemptAt?: number;
}

export type SendResult =
  | { readonly messageId: string; readonly queue: number; readonly offset: number }
  | { readonly messageId: string; readonly deliverAt: number; readonly recallHandle: string }
  | { readonly error: BrokerError };

/** A message that was checked, where it goes, and which of the request's it is. */
export interface Routed {
  readonly message: Message;
  readonly index: number;
  readonly queue: number;
  /** When it is to be delivered; absent: now. */
  readonly dueAt: number | undefined;
}

export interface Sender {
  readonly topics: Topics;
  readonly log: Log;
  readonly timers: Timers;
}

/**
 * Sends messages, a batch for each queue that they go to. What is wrong with the request is thrown before anything is
 * stored; after that each queue's messages stand or fall together, and the results come in the order of the messages.
 * Those that are to be delivered later wait, each by itself.
 */
export async function sendMessages(
  io: Ports,
  { topics, log, timers }: Sender,
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
  const routed = messages.map((message, index) => route(topic, message, { id, bornAt, index }));
  const batches = [...byQueue(routed)].map(([queue, members]) => ({
    queue,
    members,
    batch: readBatch(encodeMembers(members, { id, firstAttemptAt })),
  }));
  const delayed = routed.flatMap((message) => delayedOf(topic, message, id));
  for (const { batch, members } of [...batches, ...delayed])
    expectFits(batch.bytes.length, fieldOf(members), members.length);

  const longestWaitMs = Math.max(0, ...delayed.map(({ dueAt }) => dueAt - now));
  const retention = { retentionMs: topic.retentionMs + longestWaitMs };
  const placed = await log.place(io, [...batches, ...delayed], retention);
  const results: SendResult[] = new Array(messages.length);
  const waiting = placed.filter((part) => "dueAt" in part);
  await Promise.all([
    ...placed
      .filter((part) => !("dueAt" in part))
      .map(async ({ queue, members, batch }) => {
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
    // An attempt that is held up for longer may come when what became of an earlier one is forgotten.
    wait(io, timers, waiting, { results, until: now + limits.retryWindowMs }),
  ]);
  return results;
}

export type Delayed = NewTimer & { readonly members: readonly [Routed] };

/** Has messages wait, as many together as one commit takes, and tells each by which handle it is recalled. */
async function wait(
  io: Ports,
  timers: Timers,
  delayed: readonly Delayed[],
  { results, until }: { readonly results: SendResult[]; readonly until: number },
): Promise<void> {
  for (const some of portionsOf(delayed)) {
    try {
      await timers.put(io, some, until);
      for (const timer of some) {
        const { messageId, dueAt: deliverAt, members } = timer;
        results[members[0].index] = { messageId, deliverAt, recallHandle: recallHandleOf(timer) };
      }
    } catch (cause) {
      const error = toBrokerError(cause);
      if (!isBrokerError(error)) throw error;
      for (const { members } of some) results[members[0].index] = { error };
    }
  }
}

/** Waiting messages are numbered apart from those of a batch, whose derived ids count from 0. */
const firstWaiting = 32_768;

/** What one that waits is called: its message, and its timer. */
export function waitingName(
  batchId: Uint8Array,
  {
    queue,
    index,
    message,
  }: {
    readonly queue: number;
    readonly index: number;
    readonly message: Pick<Message, "messageId">;
  },
): { readonly messageId: string; readonly timer: Uint8Array } {
  const place = firstWaiting + index;
  const messageId = message.messageId ?? derivedMessageId(batchId, queue, place);
  return { messageId, timer: timerId(batchId, queue, place) };
}

/** A batch of its own for a message that waits: it is delivered, and recalled, by itself. */
export function delayedOf(topic: Topic, routed: Routed, batchId: Uint8Array): Delayed[] {
  const { message, queue, dueAt } = routed;
  if (dueAt === undefined) return [];
  const { messageId, timer } = waitingName(batchId, routed);
  const { bornAt } = message;
  const batch = encodeBatch({
    id: batchId,
    firstAttemptAt: 0,
    bornAt,
    messages: [{ ...message, messageId }],
  });
  return [
    {
      topic: topic.name,
      topicId: topic.id,
      queue,
      messageId,
      dueAt,
      id: timer,
      batch: readBatch(batch),
      members: [routed],
    },
  ];
}

function route(
  topic: Topic,
  outgoing: OutgoingMessage,
  { id, bornAt, index }: { id: Uint8Array; bornAt: number; index: number },
): Routed {
  const path = `messages[${index}]`;
  const { message, dueAt, queue } = routedTo(topic, outgoing, { id, bornAt, path });
  expectAccepted(topic, message, path, { isDelayed: dueAt !== undefined });
  return { message, index, dueAt, queue };
}

/** Those that are to be sent now, by the queue that they go to. */
function byQueue(routed: readonly Routed[]): Map<number, Routed[]> {
  const queues = new Map<number, Routed[]>();
  for (const message of routed) {
    if (message.dueAt !== undefined) continue;
    const members = queues.get(message.queue);
    if (members === undefined) queues.set(message.queue, [message]);
    else members.push(message);
  }
  return queues;
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
