import { batchType } from "../../src/api/operation.ts";
import { batchHeadBytes } from "../../src/broker/log/batch.ts";
import { call, expectJson, oneConnection } from "../audit/http.ts";
import { type BatchBook, batchMessagesMax, messageBytes } from "./batch-book.ts";

export interface LoadOptions {
  readonly queues: number;
  readonly producers: number;
  readonly random: () => number;
  /** No faster than this; without it as fast as can be. */
  readonly messagesPerSecondMax?: number;
}

export interface Loaded {
  readonly seconds: number;
  readonly messagesPerSecond: number;
}

/** Sends all messages of a book, each producer one batch after the other, to queues as the dice fall. */
export async function load(url: string, book: BatchBook, options: LoadOptions): Promise<Loaded> {
  const startedAt = performance.now();
  let messages = 0;
  const produce = async () => {
    const { queues, random, messagesPerSecondMax = Number.POSITIVE_INFINITY } = options;
    const agent = oneConnection();
    const memory = Buffer.alloc(batchHeadBytes + batchMessagesMax * messageBytes);
    for (let made = book.next(memory); made !== undefined; made = book.next(memory)) {
      const { sent, bytes } = made;
      const queue = Math.floor(random() * queues);
      const reply = await call(agent, url, {
        method: "POST",
        path: `/v1/topics/${book.topic}/messages?attempt=1&queue=${queue}`,
        headers: { "content-type": batchType },
        body: bytes,
      });
      if (reply.status !== 200) throw new Error(`a send was answered ${reply.body}`);
      const { offset } = JSON.parse(reply.body.toString()) as { offset: number };
      sent.queue = queue;
      sent.offset = offset;
      messages += sent.count;
      const aheadMs = (messages / messagesPerSecondMax) * 1_000 - (performance.now() - startedAt);
      if (aheadMs > 0) await new Promise((resolve) => setTimeout(resolve, aheadMs));
    }
    agent.destroy();
  };
  await Promise.all(Array.from({ length: options.producers }, produce));
  const seconds = (performance.now() - startedAt) / 1_000;
  return { seconds, messagesPerSecond: messages / seconds };
}

export function makeTopic(
  url: string,
  topic: string,
  settings: { readonly queues: number; readonly retentionMs?: number },
): Promise<unknown> {
  return expectJson(url, "PUT", `/v1/topics/${topic}`, settings);
}
