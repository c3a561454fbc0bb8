import { invalid } from "../errors.ts";
import type { Message } from "../log/message.ts";
import { checkMessage } from "../log/message-rules.ts";
import { type Delay, deliveryTime } from "../timers/delay.ts";
import { expectQueue, queueOfBatch, queueOfGroup } from "../topics/queue-choice.ts";
import type { Topic } from "../topics/topic.ts";

/** A message as its sender gives it: with when and where it is to be delivered. */
export interface OutgoingMessage extends Omit<Message, "bornAt">, Delay {
  readonly bornAt?: number;
  /** The queue it has to go to. Not together with a message group, which chooses one by itself. */
  readonly queue?: number;
}

/** A message that was checked, its queue, and when it is due; no `dueAt`: now. */
export interface RoutedMessage {
  readonly message: Message;
  readonly queue: number;
  readonly dueAt: number | undefined;
}

/** Checks a message and chooses its queue. `path` names it in errors; `id` is that of its batch. */
export function routedTo(
  topic: Topic,
  { queue, deliverAt, delayMs, delayLevel, ...outgoing }: OutgoingMessage,
  { id, bornAt, path }: { id: Uint8Array; bornAt: number; path: string },
): RoutedMessage {
  const message: Message = { ...outgoing, bornAt: outgoing.bornAt ?? bornAt };
  checkMessage(message, path);
  const dueAt = deliveryTime({ deliverAt, delayMs, delayLevel }, bornAt, path);
  return { message, dueAt, queue: chosenQueue(topic, { message, queue, id, path }) };
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
