import { encodeBatch, readBatch } from "../log/batch.ts";
import type { Log } from "../log/log.ts";
import type { Message } from "../log/message.ts";
import type { StoredMessage } from "../log/stored-messages.ts";
import type { Ports } from "../ports/ports.ts";
import { timerId } from "../timers/timer.ts";
import type { NewTimer } from "../timers/timer-writes.ts";
import type { Timers } from "../timers/timers.ts";
import type { Topic } from "../topics/topic.ts";
import type { Topics } from "../topics/topics.ts";
import { deadLetterTopicOf, retryTopicOf } from "./group.ts";
import type { Subscription } from "./groups.ts";
import { alongMax, type Draft } from "./queue-states.ts";

/** Why a message is a dead letter. */
export type DeadLetterReason =
  /** It was given back after the last attempt. */
  | "attempts"
  /** The last receiver let it expire. */
  | "expired"
  /** A receiver said so. */
  | "rejected";

/** A message as its consumers know it, wherever it lies: its first place, and how often it was given out before. */
export interface OriginOf {
  readonly topicId: number;
  readonly queue: number;
  readonly offset: number;
  readonly storedAt: number;
  readonly attempts: number;
}

export interface Leaving {
  readonly message: Message;
  readonly messageId: string;
  readonly origin: OriginOf;
  /** When it is to be there (ms). */
  readonly dueAt: number;
  /** Absent: it is to be consumed again. */
  readonly deadLetter?: DeadLetterReason;
}

export interface LeavingParts {
  readonly log: Log;
  readonly topics: Topics;
  readonly timers: Timers;
}

/** How many may leave by one change. */
export const leavingMax = alongMax.writes / 2;

/** Under a name that no producer can give, for names have no control characters. */
const originProperty = "\u0000origin";
/** What a dead letter says of its past: the first two by RocketMQ's names. */
export const deadLetterProperties = {
  topic: "DLQ_ORIGIN_TOPIC",
  messageId: "DLQ_ORIGIN_MESSAGE_ID",
  queue: "DLQ_ORIGIN_QUEUE",
  offset: "DLQ_ORIGIN_OFFSET",
  reason: "DLQ_REASON",
  attempts: "DLQ_ATTEMPTS",
  at: "DLQ_AT",
} as const;

/**
 * Has messages leave the state of a queue in the commit that takes them out of it: a timer each, aimed at the group's retry
 * topic or its dead letters. Answers how many there was room for, the first ones.
 */
export async function leave(
  io: Ports,
  { log, topics, timers }: LeavingParts,
  { group, topic, of }: Subscription,
  draft: Draft,
  leaving: readonly Leaving[],
): Promise<number> {
  const now = io.clock.now();
  const copies: Omit<NewTimer, "topicId">[] = [];
  let bytes = 0;
  for (const { message, messageId, origin, dueAt, deadLetter } of leaving.slice(0, leavingMax)) {
    const queue = deadLetter === undefined ? of.retryQueue : 0;
    const id = io.random.bytes(16);
    const properties =
      deadLetter === undefined
        ? withOrigin(message, origin)
        : withPast(message, { messageId, topic: topic.name, origin, reason: deadLetter, at: now });
    const copy: Message = { ...message, messageId, properties };
    const { bornAt } = message;
    const batch = readBatch(encodeBatch({ id, firstAttemptAt: 0, bornAt, messages: [copy] }));
    bytes += batch.bytes.length;
    if (bytes > alongMax.bytes && copies.length > 0) break;
    const name =
      deadLetter === undefined ? retryTopicOf(group.name) : deadLetterTopicOf(group.name);
    copies.push({ topic: name, queue, messageId, dueAt, id: timerId(id, queue, 0), batch });
  }
  const ids = new Map<string, Topic>();
  for (const { topic: name } of copies)
    if (!ids.has(name)) ids.set(name, await ownTopic(io, topics, name));
  const waitMs = Math.max(0, ...copies.map(({ dueAt }) => dueAt - now));
  const retentionMs = Math.max(0, ...[...ids.values()].map((own) => own.retentionMs)) + waitMs;
  const placed = await log.place(io, copies, { retentionMs });
  const due = placed.map((copy): NewTimer => ({ ...copy, topicId: ids.get(copy.topic)?.id ?? 0 }));
  draft.along.push({ ...timers.along(io, due), afterwards: () => timers.see(io, due) });
  return copies.length;
}

/** One of the group's own topics; the one of dead letters is made with the first of them. */
async function ownTopic(io: Ports, topics: Topics, name: string): Promise<Topic> {
  const known = await topics.find(io, name);
  return known ?? (await topics.ensure(io, name, {}, { queues: 1 })).topic;
}

function withOrigin(message: Message, origin: OriginOf): Record<string, string> {
  const { topicId, queue, offset, storedAt, attempts } = origin;
  return {
    ...message.properties,
    [originProperty]: [topicId, queue, offset, storedAt, attempts].join(" "),
  };
}

/** Where a message that lies in a retry topic came from, and the message without what says so. */
export function originOf({ message }: StoredMessage): {
  readonly origin: OriginOf | undefined;
  readonly message: Message;
} {
  const { [originProperty]: text, ...others } = message.properties ?? {};
  const numbers = text?.split(" ").map(Number) ?? [];
  const [topicId, queue, offset, storedAt, attempts] = numbers;
  if (
    topicId === undefined ||
    queue === undefined ||
    offset === undefined ||
    storedAt === undefined ||
    attempts === undefined
  )
    return { origin: undefined, message };
  const origin = { topicId, queue, offset, storedAt, attempts };
  return { origin, message: withProperties(message, others) };
}

function withProperties(message: Message, given: Record<string, string>): Message {
  const { properties: _, ...bare } = message;
  return Object.keys(given).length === 0 ? bare : { ...bare, properties: given };
}

function withPast(
  message: Message,
  past: {
    readonly messageId: string;
    readonly topic: string;
    readonly origin: OriginOf;
    readonly reason: DeadLetterReason;
    readonly at: number;
  },
): Record<string, string> {
  const { origin, topic, messageId, reason, at } = past;
  const names = deadLetterProperties;
  return {
    ...message.properties,
    [names.topic]: topic,
    [names.messageId]: messageId,
    [names.queue]: String(origin.queue),
    [names.offset]: String(origin.offset),
    [names.reason]: reason,
    [names.attempts]: String(origin.attempts),
    [names.at]: String(at),
  };
}

export interface PastOf {
  readonly topic: string;
  readonly queue: number;
  readonly offset: number;
  readonly reason: string;
  readonly attempts: number;
  readonly deadAt: number;
}

/** What a dead letter says of its past, and the message as it was before. */
export function pastOf({ message }: StoredMessage): {
  readonly past: PastOf;
  readonly message: Message;
} {
  const names = deadLetterProperties;
  const given = message.properties ?? {};
  const own = new Set<string>(Object.values(names));
  const others = Object.fromEntries(Object.entries(given).filter(([name]) => !own.has(name)));
  const past = {
    topic: given[names.topic] ?? "",
    queue: Number(given[names.queue]),
    offset: Number(given[names.offset]),
    reason: given[names.reason] ?? "",
    attempts: Number(given[names.attempts]),
    deadAt: Number(given[names.at]),
  };
  return { past, message: withProperties(message, others) };
}
