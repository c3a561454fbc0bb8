import { batchType } from "../../src/api/operation.ts";
import { encodeBatch } from "../../src/broker/log/batch.ts";
import type { Ledger, Sending, SentMessage } from "./ledger.ts";

export interface Workload {
  readonly random: () => number;
  readonly topic: string;
  readonly queues: number;
  /** From 0 to 1: how many requests carry a batch id and can be attempted again. */
  readonly withIdShare: number;
  /** From 0 to 1: how many go to queue 0, so that somebody else is met there. */
  readonly hotShare: number;
  /** The most messages of a request. */
  readonly messagesMax?: number;
}

interface Target {
  readonly messageGroup?: string;
  readonly queue?: number;
}

interface JsonMessage extends Target {
  readonly body: string;
  readonly bodyEncoding?: "base64";
}

const defaultMessagesMax = 20;
const bodyBytesMax = 400;

/** A request of one or more messages, JSON or binary, to a queue, a message group or wherever its id leads. */
export function newSending(workload: Workload, ledger: Ledger, producer: string): Sending {
  const { random, messagesMax = defaultMessagesMax } = workload;
  const id = randomBytes(random, 16);
  const firstAttemptAt = random() < workload.withIdShare ? Date.now() : 0;
  const length = 1 + Math.floor(random() * messagesMax);
  const target = chooseTarget(workload, producer);
  const binary = random() < 0.5;
  const mixed = !binary && random() < 0.3;
  const targets = Array.from({ length }, () => (mixed ? chooseTarget(workload, producer) : target));
  const messages = targets.map(({ messageGroup }) => newMessage(random, ledger, messageGroup));
  const batch = { id, firstAttemptAt, messages, attempt: random() < 0.5 ? 1 : 0 };
  return {
    topic: workload.topic,
    call: binary
      ? binaryCall(workload.topic, batch, target)
      : jsonCall(workload.topic, batch, targets),
    retriable: firstAttemptAt > 0,
    messages,
    issuedAt: 0,
    answeredAt: Number.POSITIVE_INFINITY,
    attempts: 0,
    doubted: false,
  };
}

function chooseTarget({ random, queues, hotShare }: Workload, producer: string): Target {
  const kind = random();
  if (kind < hotShare) return { queue: 0 };
  if (kind < hotShare + (1 - hotShare) / 3) return { queue: Math.floor(random() * queues) };
  if (kind < hotShare + (2 * (1 - hotShare)) / 3)
    return { messageGroup: `${random() < 0.5 ? "all" : producer}-${Math.floor(random() * 3)}` };
  return {};
}

function newMessage(random: () => number, ledger: Ledger, messageGroup: string | undefined) {
  const mark = ledger.newMark();
  const filler = randomBytes(random, Math.floor(random() * bodyBytesMax));
  const text = random() < 0.5;
  const body = Buffer.from(`${mark}|${text ? Buffer.from(filler).toString("hex") : ""}`);
  return {
    mark,
    body: text ? body : Buffer.concat([body, filler]),
    messageGroup,
    state: "open",
    queue: -1,
    offset: -1,
    messageId: undefined,
  } satisfies SentMessage as SentMessage;
}

interface NewBatch {
  readonly id: Uint8Array;
  readonly firstAttemptAt: number;
  readonly messages: readonly SentMessage[];
  /** 0: it is not said which attempt this is. */
  readonly attempt: number;
}

function jsonCall(topic: string, batch: NewBatch, targets: readonly Target[]) {
  const { id, firstAttemptAt } = batch;
  const messages = batch.messages.map(({ body }, i) => ({ ...jsonBody(body), ...targets[i] }));
  const withId = { batchId: Buffer.from(id).toString("hex"), firstAttemptAt };
  // No `attempt`: it stands in the body, and a later attempt has the same bytes.
  const request = { messages, ...(firstAttemptAt > 0 ? withId : {}) };
  return {
    method: "POST",
    path: `/v1/topics/${topic}/messages`,
    headers: { "content-type": "application/json" },
    body: Buffer.from(JSON.stringify(request)),
  };
}

function jsonBody(body: Buffer): JsonMessage {
  const text = body.toString();
  if (Buffer.from(text).equals(body)) return { body: text };
  return { body: body.toString("base64"), bodyEncoding: "base64" };
}

function binaryCall(topic: string, batch: NewBatch, { queue, messageGroup }: Target) {
  const { id, firstAttemptAt, attempt } = batch;
  const bornAt = Date.now();
  const messages = batch.messages.map(({ body }) => ({
    body,
    bornAt,
    ...(messageGroup === undefined ? {} : { messageGroup }),
  }));
  const query = new URLSearchParams({
    ...(queue === undefined ? {} : { queue: String(queue) }),
    ...(attempt > 0 ? { attempt: String(attempt) } : {}),
  });
  return {
    method: "POST",
    path: `/v1/topics/${topic}/messages?${query}`,
    headers: { "content-type": batchType },
    body: encodeBatch({ id, firstAttemptAt, bornAt, messages }),
  };
}

export function randomBytes(random: () => number, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => Math.floor(random() * 256));
}
