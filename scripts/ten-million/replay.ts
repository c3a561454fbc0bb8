import type { Agent } from "node:http";
import { batchesType } from "../../src/api/operation.ts";
import { readU32, readU64 } from "../../src/broker/bytes.ts";
import { limits } from "../../src/broker/limits.ts";
import { call, oneConnection, type Reply } from "../audit/http.ts";
import type { BatchBook } from "./batch-book.ts";

/** In front of each batch of an answer: the offset of its first message, when it was stored, its length. */
const frameBytes = 20;

export interface PulledBatch {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** The path of a pull that takes as much as a pull may. */
export function pullPath(topic: string, queue: number, offset: number): string {
  const most = `max=${limits.pullMessagesMax}&maxBytes=${limits.pullBytesMax}`;
  return `/v1/topics/${topic}/queues/${queue}/messages?offset=${offset}&${most}`;
}

export async function pull(agent: Agent, url: string, path: string): Promise<Reply> {
  const reply = await call(agent, url, { method: "GET", path, headers: { accept: batchesType } });
  if (reply.status !== 200) throw new Error(`GET ${path}: ${reply.status} ${reply.body}`);
  return reply;
}

export function nextOffsetOf({ headers }: Pick<Reply, "headers">): number {
  return Number(headers["x-tasso-next-offset"]);
}

export function* batchesOf(body: Uint8Array): Generator<PulledBatch> {
  for (let at = 0; at < body.length; ) {
    const start = at + frameBytes;
    const end = start + readU32(body, at + 16);
    yield { offset: readU64(body, at), bytes: body.subarray(start, end) };
    at = end;
  }
}

export interface Replayed {
  readonly messages: number;
  readonly pulls: number;
  readonly seconds: number;
}

/** Reads the whole topic, all queues at once, and checks every message: dense, and what was acknowledged there. */
export async function replay(url: string, book: BatchBook, queues: number): Promise<Replayed> {
  const startedAt = performance.now();
  let messages = 0;
  let pulls = 0;
  const readQueue = async (queue: number) => {
    const agent = oneConnection();
    const end = book.endOf(queue);
    let offset = 0;
    while (offset < end && book.violations.length === 0) {
      const reply = await pull(agent, url, pullPath(book.topic, queue, offset));
      pulls++;
      const before = offset;
      for (const batch of batchesOf(reply.body)) {
        if (batch.offset !== offset)
          book.violations.push(`${book.topic} ${queue}: ${batch.offset} follows ${offset - 1}`);
        offset = batch.offset + book.check(batch.bytes, queue, batch.offset);
      }
      if (offset === before) book.violations.push(`${book.topic} ${queue}: nothing at ${offset}`);
      if (nextOffsetOf(reply) !== offset)
        book.violations.push(`${book.topic} ${queue}: another next offset than ${offset}`);
    }
    if (offset !== end)
      book.violations.push(`${book.topic} ${queue}: ends at ${offset} instead of ${end}`);
    messages += offset;
    agent.destroy();
  };
  await Promise.all(Array.from({ length: queues }, (_, queue) => readQueue(queue)));
  if (messages !== book.messages)
    book.violations.push(`${book.topic}: ${messages} messages of ${book.messages}`);
  return { messages, pulls, seconds: (performance.now() - startedAt) / 1_000 };
}
