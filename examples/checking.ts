import { type Admin, PullConsumer, type ReceivedMessage } from "tasso";
import { pause } from "./pause.ts";
import { broker } from "./settings.ts";

const settledMsMax = 60_000;

/** Asks until nothing is left to wait for; answers what is, if that takes too long. */
export async function untilSettled(leftOver: () => Promise<string[]>): Promise<string[]> {
  const until = Date.now() + settledMsMax;
  for (;;) {
    const left = await leftOver();
    if (left.length === 0 || Date.now() > until) return left;
    await pause(100);
  }
}

/** Everything that lies in a topic. */
export async function messagesOf(admin: Admin, topic: string): Promise<ReceivedMessage[]> {
  const { queues } = await admin.topic(topic);
  const consumer = new PullConsumer({ brokers: [broker] });
  await consumer.assign(queues.map(({ queue }) => ({ topic, queue, offset: "earliest" })));
  const total = queues.reduce((sum, { min, max }) => sum + max - min, 0);
  const messages: ReceivedMessage[] = [];
  while (messages.length < total) messages.push(...(await consumer.poll({ waitMs: 1_000 })));
  await consumer.close();
  return messages;
}

export async function listed<T>(values: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const value of values) list.push(value);
  return list;
}

/** Messages of a topic by what they are about. */
export function grouped<T>(
  messages: readonly T[],
  keyOf: (message: T) => string,
): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const message of messages) {
    const key = keyOf(message);
    groups.set(key, [...(groups.get(key) ?? []), message]);
  }
  return groups;
}

/** Says what is wrong, or that all is right, and ends the process accordingly. */
export function conclude(right: string, wrong: readonly string[]): void {
  for (const line of wrong) console.log(`WRONG ${line}`);
  if (wrong.length === 0) console.log(`right: ${right}`);
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
