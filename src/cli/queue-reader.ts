import { NodeCompression } from "../adapters/local/node-compression.ts";
import { readU32, readU64 } from "../broker/bytes.ts";
import { decodeBatch, derivedMessageId, readBatch } from "../broker/log/batch.ts";
import type { Message } from "../broker/log/message.ts";
import { TassoError } from "../client/index.ts";
import { errorOfAnswer } from "../client/tasso-error.ts";

/** A message and where it lies. */
export interface PlacedMessage extends Message {
  readonly offset: number;
  readonly storedAt: number;
  readonly id: string;
}

export interface QueueReaderOptions {
  /** Base URL of the broker. */
  readonly endpoint: string;
  readonly topic: string;
  readonly queue: number;
  readonly offset: number;
  /** The offset behind the last message that is wanted. @default none: it waits for what comes */
  readonly until?: number;
  readonly token: string | undefined;
  readonly signal: AbortSignal;
  /** A broker that is not there is asked again for so long (ms). */
  readonly timeoutMs: number;
}

const batchHeadBytes = 20;
const waitMs = 15_000;
const pauseMs = 200;
const compression = new NodeCompression();

/** Reads one queue as stored batches: a page is what one pull brought. Ends with `until`, or when the signal aborts. */
export async function* readQueue(options: QueueReaderOptions): AsyncGenerator<PlacedMessage[]> {
  const { signal, until = Number.POSITIVE_INFINITY } = options;
  let { offset } = options;
  while (offset < until && !signal.aborted) {
    const bytes = await pull(options, offset, until === Number.POSITIVE_INFINITY);
    if (bytes === undefined) return;
    const page = await messagesIn(bytes, options.queue);
    const wanted = page.filter((one) => one.offset >= offset && one.offset < until);
    const last = page.at(-1);
    if (last !== undefined) offset = last.offset + 1;
    if (wanted.length > 0) yield wanted;
  }
}

/** One pull, tried again while nobody answers. `undefined` where the reader is aborted. */
async function pull(
  { endpoint, topic, queue, token, signal, timeoutMs }: QueueReaderOptions,
  offset: number,
  waits: boolean,
): Promise<Buffer | undefined> {
  const path = `/v1/topics/${topic}/queues/${queue}/messages`;
  const query = `offset=${offset}&max=1024&maxBytes=1048576&waitMs=${waits ? waitMs : 0}`;
  const headers: Record<string, string> = { accept: "application/vnd.tasso.batches.v1" };
  if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
  const giveUpAt = Date.now() + timeoutMs;
  for (;;) {
    try {
      const patience = AbortSignal.timeout(timeoutMs + (waits ? waitMs : 0));
      const either = AbortSignal.any([signal, patience]);
      const answer = await fetch(`${endpoint}${path}?${query}`, { headers, signal: either });
      if (answer.ok) return Buffer.from(await answer.arrayBuffer());
      const text = await answer.text();
      const error = errorOfAnswer(answer.status, parsed(text), answer.headers);
      if (!error.retryable || Date.now() >= giveUpAt) throw error;
    } catch (error) {
      if (signal.aborted) return undefined;
      if (error instanceof TassoError) throw error;
      if (Date.now() >= giveUpAt) throw noAnswer(endpoint, error);
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

function noAnswer(endpoint: string, cause: unknown): TassoError {
  return new TassoError("no_answer", `${endpoint} does not answer`, { cause });
}

async function messagesIn(bytes: Buffer, queue: number): Promise<PlacedMessage[]> {
  const messages: PlacedMessage[] = [];
  for (let at = 0; at < bytes.length; ) {
    const base = readU64(bytes, at);
    const storedAt = readU64(bytes, at + 8);
    const length = readU32(bytes, at + 16);
    const start = at + batchHeadBytes;
    const batch = readBatch(bytes.subarray(start, start + length));
    const decoded = await decodeBatch(batch, compression);
    decoded.forEach((message, index) => {
      const id = message.messageId ?? derivedMessageId(batch.id, queue, index);
      messages.push({ ...message, offset: base + index, storedAt, id });
    });
    at = start + length;
  }
  return messages;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
