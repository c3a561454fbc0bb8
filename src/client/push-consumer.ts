import { Connection } from "./connection.ts";
import { KeepAlive } from "./keep-alive.ts";
import { type ClientOptions, misuse } from "./options.ts";
import { readableBrokers, receiveFrom } from "./receive.ts";
import type { DeliveredMessage } from "./received-message.ts";
import type { Broker } from "./routes.ts";
import type { Verb } from "./settle.ts";
import { SettleQueue } from "./settle-queue.ts";
import { isTassoError, TassoError } from "./tasso-error.ts";

/** What becomes of a message: nothing said, it is done with; else it comes again after that time (ms), or is a dead letter. */
export type HandlerOutcome =
  | undefined
  | { readonly nack: number }
  | { readonly deadLetter: string };

export interface HandlerContext {
  /** Aborts when the consumer is closed and does not wait any longer. */
  readonly signal: AbortSignal;
  /** How often it was tried, from 1: deliveries, and in an orderly group tries in hand. */
  readonly attempt: number;
}

export type Handler = (
  message: DeliveredMessage,
  context: HandlerContext,
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler that says nothing is the usual one
) => Promise<HandlerOutcome | void> | HandlerOutcome | void;

export interface PushConsumerOptions extends ClientOptions {
  readonly group: string;
  /** The filter of each topic: `*`, or tags as in `a || b`. */
  readonly subscriptions: Readonly<Record<string, string>>;
  /** Returns: the message is done with. Throws: it comes again, by the group's ladder. */
  readonly handler: Handler;
  /** So many messages are handled at a time. @default 20, RocketMQ's consumeThreadMax */
  readonly concurrency?: number;
  /** So long a message is invisible to others; it is extended while it is in hand (ms). @default 30000 */
  readonly invisibleMs?: number;
  /** A handler that runs longer has lost the message (ms). @default 900000, RocketMQ's consumeTimeout */
  readonly keepMsMax?: number;
  /** So long a request waits for messages; closing takes as long (ms). @default 5000 */
  readonly waitMs?: number;
  /** Told of what went wrong in the background. It goes on all the same. */
  readonly onError?: (error: TassoError) => void;
}

interface GroupFacts {
  readonly orderly: boolean;
  readonly maxAttempts: number;
  readonly retryMs: readonly number[];
}

const pauseMs = 1_000;
const followMs = 30_000;
const receiveMax = 32;
const closeMsDefault = 30_000;

/**
 * Has a handler called for each message of a group's topics. At least once: it may meet a message again, after a failure, or
 * when an acknowledgement was lost.
 *
 * In an orderly group the messages of a message group are handled one after the other; one that fails is tried again in hand,
 * and the others wait, until it succeeds or has no attempts left and is a dead letter.
 */
export class PushConsumer implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #options: PushConsumerOptions;
  readonly #concurrency: number;
  readonly #keeper: KeepAlive;
  readonly #settling: SettleQueue;
  readonly #stop = new AbortController();
  readonly #cut = new AbortController();
  readonly #loops = new Map<string, Promise<void>>();
  readonly #tasks = new Set<Promise<void>>();
  /** The last one in hand of each message group. */
  readonly #tails = new Map<string, Promise<void>>();
  readonly #slots: (() => void)[] = [];
  #running = 0;
  #inHand = 0;
  readonly #room: (() => void)[] = [];
  #started = false;

  constructor(options: PushConsumerOptions) {
    const { group, concurrency = 20, invisibleMs = 30_000, keepMsMax = 900_000 } = options;
    if (!Number.isInteger(concurrency) || concurrency < 1)
      throw misuse("concurrency", concurrency, "a whole number from 1 on");
    if (Object.keys(options.subscriptions).length === 0)
      throw misuse("subscriptions", "none", "at least one topic with its filter");
    this.#connection = new Connection(options);
    this.#options = options;
    this.#concurrency = concurrency;
    this.#keeper = new KeepAlive(this.#connection, { group, invisibleMs, keepMsMax });
    this.#settling = new SettleQueue(this.#connection, group);
  }

  /** Begins to receive. Rejects where a topic is not there. */
  async start(): Promise<void> {
    if (this.#stop.signal.aborted) throw new TassoError("closed", "the consumer was closed");
    if (this.#started) return;
    this.#started = true;
    const topics = Object.keys(this.#options.subscriptions);
    await Promise.all(topics.map((topic) => this.#connection.route(topic)));
    for (const topic of topics) this.#loops.set(topic, this.#follow(topic));
  }

  /**
   * Receives no more, gives back what no handler has begun with, and waits for the others; after `timeoutMs` (30 s) their
   * signal aborts and their messages are given back as well.
   */
  async close({ timeoutMs = closeMsDefault }: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#stop.abort();
    this.#wake();
    for (const slot of this.#slots.splice(0)) slot();
    const { clock } = this.#connection.settings;
    const ended = new AbortController();
    const late = clock.sleep(timeoutMs, ended.signal).then(() => {
      if (!ended.signal.aborted) this.#cut.abort();
    });
    await Promise.all(this.#loops.values());
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    ended.abort();
    await late;
    this.#keeper.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #stopping(): boolean {
    return this.#stop.signal.aborted;
  }

  /** A loop for each broker that the topic is at, also for those that come later. */
  async #follow(topic: string): Promise<void> {
    const loops = new Map<string, Promise<void>>();
    while (!this.#stopping) {
      try {
        for (const broker of readableBrokers(await this.#connection.route(topic))) {
          if (!loops.has(broker.name)) loops.set(broker.name, this.#receiving(topic, broker));
        }
      } catch (error) {
        this.#tell(error);
      }
      await this.#connection.settings.clock.sleep(followMs, this.#stop.signal);
    }
    await Promise.all(loops.values());
  }

  async #receiving(topic: string, broker: Broker): Promise<void> {
    const { group, subscriptions, invisibleMs = 30_000, waitMs = 5_000 } = this.#options;
    const { signal } = this.#stop;
    let facts: GroupFacts | undefined;
    while (!this.#stopping) {
      if (this.#inHand >= this.#concurrency) {
        await new Promise<void>((resolve) => this.#room.push(resolve));
        continue;
      }
      try {
        facts ??= await this.#factsOf(broker);
        const max = Math.min(receiveMax, this.#concurrency - this.#inHand);
        const filter = subscriptions[topic];
        const wanted = { group, topic, filter, max, invisibleMs, waitMs };
        // Not cut off when it stops: what the broker gives out meanwhile would be nobody's for the invisible time.
        const { messages } = await receiveFrom(this.#connection, broker, wanted);
        this.#take(messages, facts);
      } catch (error) {
        this.#tell(error);
        await this.#connection.settings.clock.sleep(pauseMs, signal);
      }
    }
  }

  /** How the group retries; a group that is not made yet begins with the defaults. */
  async #factsOf(broker: Broker): Promise<GroupFacts> {
    const path = `/v1/groups/${encodeURIComponent(this.#options.group)}`;
    try {
      return await this.#connection.request<GroupFacts>(broker, { method: "GET", path });
    } catch (error) {
      if (!isTassoError(error) || error.code !== "group_not_found") throw error;
      return { orderly: false, maxAttempts: 16, retryMs: [] };
    }
  }

  #take(messages: readonly DeliveredMessage[], facts: GroupFacts): void {
    this.#inHand += messages.length;
    this.#keeper.hold(messages);
    for (const message of messages) {
      const task = this.#inOrder(message, facts).finally(() => {
        this.#tasks.delete(task);
        this.#inHand--;
        this.#wake();
      });
      this.#tasks.add(task);
    }
  }

  async #inOrder(message: DeliveredMessage, facts: GroupFacts): Promise<void> {
    const { messageGroup, topic } = message;
    if (!facts.orderly || messageGroup === undefined) return await this.#handle(message, facts);
    const key = `${topic} ${messageGroup}`;
    const before = this.#tails.get(key) ?? Promise.resolve();
    const own = before.then(() => this.#handle(message, facts));
    this.#tails.set(key, own);
    await own;
    if (this.#tails.get(key) === own) this.#tails.delete(key);
  }

  async #handle(message: DeliveredMessage, facts: GroupFacts): Promise<void> {
    const verb = await this.#verbOf(message, facts);
    this.#keeper.release([message]);
    const error = await this.#settling.settle(message, verb);
    if (error !== undefined) this.#tell(error);
  }

  /** What the handler makes of it, in a slot of its own for each try. */
  async #verbOf(message: DeliveredMessage, facts: GroupFacts): Promise<Verb> {
    const { orderly, maxAttempts, retryMs } = facts;
    for (let attempt = message.deliveryAttempt; ; attempt++) {
      const verb = await this.#inSlot(() => this.#once(message, attempt));
      if (verb === undefined) return givenBack;
      const failed = verb.path === "nack" && !("deadLetter" in (verb.body ?? {}));
      if (!orderly || !failed) return verb;
      if (attempt >= maxAttempts) return { path: "nack", body: { deadLetter: true } };
      const step = retryMs[Math.min(attempt, retryMs.length) - 1] ?? pauseMs;
      const { delayMs = step } = (verb.body ?? {}) as { delayMs?: number };
      await this.#connection.settings.clock.sleep(delayMs, this.#stop.signal);
    }
  }

  /** `undefined` where it stops before there is a slot, or the handler does not end in time. */
  async #inSlot(run: () => Promise<Verb>): Promise<Verb | undefined> {
    while (!this.#stopping && this.#running >= this.#concurrency)
      await new Promise<void>((resolve) => this.#slots.push(resolve));
    if (this.#stopping) return undefined;
    this.#running++;
    try {
      return await endOrAbort(run(), this.#cut.signal);
    } finally {
      this.#running--;
      this.#slots.shift()?.();
    }
  }

  async #once(message: DeliveredMessage, attempt: number): Promise<Verb> {
    const { handler, group } = this.#options;
    const { topic } = message;
    try {
      const { signal } = this.#cut;
      const outcome = await this.#connection.traced("handle", { group, topic, message }, async () =>
        handler(message, { signal, attempt }),
      );
      if (outcome === undefined) return { path: "ack" };
      if ("deadLetter" in outcome) return { path: "nack", body: { deadLetter: true } };
      return { path: "nack", body: { delayMs: outcome.nack } };
    } catch {
      // The handler's own errors are its own; tracing shows them.
      return { path: "nack", body: {} };
    }
  }

  #wake(): void {
    for (const resolve of this.#room.splice(0)) resolve();
  }

  #tell(error: unknown): void {
    this.#options.onError?.(this.#connection.asTassoError(error));
  }
}

const givenBack: Verb = { path: "nack", body: { delayMs: 0 } };

/** What it answers, or `undefined` as soon as the signal aborts. */
function endOrAbort<T>(running: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = () => resolve(undefined);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
    running.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
