import type { Agent } from "node:http";
import { say } from "./command-line.ts";
import { type Call, call, callJson, expectJson, NoAnswer, oneConnection } from "./http.ts";
import type { ServerProcess } from "./server-process.ts";

/** A message that is to wait. Its mark is its body. */
export interface NewDelayed {
  readonly mark: string;
  readonly deliverAt?: number;
  readonly delayMs?: number;
  readonly queue?: number;
}

/** What the broker said of a message that waits. */
export interface Waiting {
  readonly mark: string;
  readonly messageId: string;
  readonly deliverAt: number;
  readonly recallHandle: string;
  /** When its sender knew (ms of this machine). */
  readonly answeredAt: number;
}

/** How the broker names a delayed batch that is sent again. */
export interface Once {
  readonly batchId: string;
  readonly firstAttemptAt: number;
}

/** A place where a message was found. */
export interface Arrival {
  readonly queue: number;
  readonly offset: number;
  readonly storedAt: number;
  /** When the one who pulled had it. */
  readonly receivedAt: number;
}

interface Page {
  readonly messages: readonly (Arrival & { readonly body: string })[];
  readonly nextOffset: number;
  readonly maxOffset: number;
}

export function sendCall(topic: string, messages: readonly NewDelayed[], once?: Once): Call {
  const bodies = messages.map(({ mark, ...fields }) => ({ ...fields, body: mark }));
  return {
    method: "POST",
    path: `/v1/topics/${topic}/messages`,
    headers: { "content-type": "application/json" },
    body: Buffer.from(JSON.stringify({ messages: bodies, ...once })),
  };
}

/** Has messages wait; anything but success is the end. */
export async function sendDelayed(
  agent: Agent,
  url: string,
  topic: string,
  messages: readonly NewDelayed[],
): Promise<Waiting[]> {
  const { status, body } = await call(agent, url, sendCall(topic, messages));
  if (status !== 200) throw new Error(`a delayed send was answered with ${status}: ${body}`);
  return waitingIn(body, messages);
}

/** What an answer tells of each message, in their order. */
export function waitingIn(answer: Buffer, messages: readonly NewDelayed[]): Waiting[] {
  const answeredAt = Date.now();
  const { results } = JSON.parse(answer.toString()) as { readonly results: readonly Waiting[] };
  return messages.map(({ mark }, index) => {
    const { messageId, deliverAt, recallHandle } = results[index] ?? ({} as Partial<Waiting>);
    if (messageId === undefined || deliverAt === undefined || recallHandle === undefined)
      throw new Error(`a delayed send was answered with ${answer}`);
    return { mark, messageId, deliverAt, recallHandle, answeredAt };
  });
}

/** Sends many that wait, some at once over several connections. */
export async function sendManyDelayed(
  url: string,
  topic: string,
  messages: readonly NewDelayed[],
  { connections, perRequest }: { readonly connections: number; readonly perRequest: number },
): Promise<Waiting[]> {
  const waiting: Waiting[] = [];
  let next = 0;
  const send = async () => {
    const agent = oneConnection();
    while (next < messages.length) {
      const some = messages.slice(next, next + perRequest);
      next += some.length;
      waiting.push(...(await sendDelayed(agent, url, topic, some)));
    }
    agent.destroy();
  };
  await Promise.all(Array.from({ length: connections }, send));
  return waiting;
}

/** Pulls all queues of a topic, waiting at their ends, and notes where and when each message is met. */
export class Follower {
  /** By mark, in the order of their arrival: more than one place is a double. */
  readonly arrivals = new Map<string, Arrival[]>();
  count = 0;
  #going = true;
  readonly #following: Promise<void>;

  constructor(url: string, topic: string, queues: number) {
    const each = Array.from({ length: queues }, (_, queue) => this.#follow(url, topic, queue));
    this.#following = Promise.all(each).then(() => {});
  }

  /** Waits until so many messages were met, or until an instant. */
  async until(count: number, at: number): Promise<void> {
    while (this.count < count && Date.now() < at) await pause(20);
  }

  async stop(): Promise<void> {
    this.#going = false;
    await this.#following;
  }

  async #follow(url: string, topic: string, queue: number): Promise<void> {
    const agent = oneConnection();
    const path = `/v1/topics/${topic}/queues/${queue}/messages`;
    for (let offset = 0; this.#going; ) {
      const query = `?offset=${offset}&max=1024&maxBytes=4194304&waitMs=500`;
      try {
        const { status, body } = await call(agent, url, { method: "GET", path: path + query });
        if (status !== 200) throw new Error(`a pull was answered with ${status}: ${body}`);
        offset = this.#note(JSON.parse(body.toString()) as Page, Date.now());
      } catch (error) {
        // The server was killed on purpose.
        if (!(error instanceof NoAnswer)) throw error;
        break;
      }
    }
    agent.destroy();
  }

  #note({ messages, nextOffset }: Page, receivedAt: number): number {
    for (const { body, queue, offset, storedAt } of messages) {
      const places = this.arrivals.get(body) ?? [];
      places.push({ queue, offset, storedAt, receivedAt });
      this.arrivals.set(body, places);
      this.count++;
    }
    return nextOffset;
  }
}

/** What is wrong with where messages were found: each has to be there once, and not before it was due. */
export function wronglyDelivered(
  waiting: readonly Waiting[],
  arrivals: ReadonlyMap<string, readonly Arrival[]>,
): string[] {
  const wrong: string[] = [];
  const known = new Set(waiting.map(({ mark }) => mark));
  for (const { mark, deliverAt } of waiting) {
    const places = arrivals.get(mark) ?? [];
    if (places.length === 0) wrong.push(`${mark}: not there, due at ${deliverAt}`);
    if (places.length > 1) wrong.push(`${mark}: there ${places.length} times`);
    for (const { storedAt, receivedAt } of places) {
      const at = Math.min(storedAt, receivedAt);
      if (at < deliverAt) wrong.push(`${mark}: early by ${deliverAt - at} ms`);
    }
  }
  for (const mark of arrivals.keys()) if (!known.has(mark)) wrong.push(`${mark}: nobody sent this`);
  return wrong;
}

/** How late each was: until it was stored, and until somebody had it (ms). */
export function latenessOf(
  waiting: readonly Waiting[],
  arrivals: ReadonlyMap<string, readonly Arrival[]>,
) {
  const first = waiting.flatMap(({ mark, deliverAt }) => {
    const [place] = arrivals.get(mark) ?? [];
    return place === undefined ? [] : [{ ...place, deliverAt }];
  });
  return {
    stored: spread(first.map(({ storedAt, deliverAt }) => storedAt - deliverAt)),
    received: spread(first.map(({ receivedAt, deliverAt }) => receivedAt - deliverAt)),
  };
}

export interface Spread {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return { p50: rounded(at(0.5)), p99: rounded(at(0.99)), max: rounded(at(1)) };
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}

export async function makeTopic(url: string, topic: string, queues: number): Promise<void> {
  await expectJson(url, "PUT", `/v1/topics/${topic}`, { queues });
}

/** How many messages lie in a topic. */
export async function messagesIn(url: string, topic: string): Promise<number> {
  const told = await expectJson<{ readonly queues: readonly { readonly max: number }[] }>(
    url,
    "GET",
    `/v1/topics/${topic}`,
  );
  return told.queues.reduce((sum, { max }) => sum + max, 0);
}

export interface Recalled {
  readonly status: number;
  /** Where it went, where it was delivered. */
  readonly place: string | undefined;
}

export async function recall(url: string, { recallHandle }: Waiting): Promise<Recalled> {
  const path = `/v1/delayed/${recallHandle}`;
  const { status, json } = await callJson<
    { readonly details?: { readonly queue: number; readonly offset: number } } | undefined
  >(url, "DELETE", path);
  const details = status === 409 ? json?.details : undefined;
  return { status, place: details && `${details.queue}@${details.offset}` };
}

const measuredTimesMax = 3;

/** Measures until it is as demanded, a few times at most: other work on the machine comes in between. */
export async function measure<T>(run: () => Promise<T>, isAsDemanded: (outcome: T) => boolean) {
  for (let times = 1; ; times++) {
    const outcome = await run();
    if (isAsDemanded(outcome) || times === measuredTimesMax) return outcome;
    say("measured again, for this is not as demanded");
  }
}

/** Ends servers in order. Answers what was wrong with that, and what they logged. */
export async function stopAll(servers: readonly ServerProcess[]): Promise<string[]> {
  const exits = await Promise.all(servers.map((server) => server.stop()));
  return [
    ...exits.flatMap(({ code }) => (code === 0 ? [] : [`a server ended with ${code}`])),
    ...servers.flatMap(({ errors }) => (errors === "" ? [] : [`a server logged ${errors}`])),
  ];
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
