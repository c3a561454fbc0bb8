import { type CallOptions, Connection } from "./connection.ts";
import { KeepAlive } from "./keep-alive.ts";
import { type Message, toBatchMessage, toJson } from "./message.ts";
import { type ClientOptions, misuse } from "./options.ts";
import { inTurns, type ReceiveOptions, readableBrokers, receiveFrom } from "./receive.ts";
import type { DeliveredMessage } from "./received-message.ts";
import { settleEach, throwFirst, type Verb } from "./settle.ts";
import { TassoError } from "./tasso-error.ts";

export interface SimpleConsumerOptions extends ClientOptions {
  readonly group: string;
  /** What is received stays invisible to others until it is settled, or for `keepMsMax`. @default false */
  readonly keepAlive?: boolean;
  /** A message that is kept is given up after this time (ms). @default 1800000 */
  readonly keepMsMax?: number;
}

/** How a message is given back. */
export interface NackOptions extends CallOptions {
  /** It comes again after this time (ms). @default its step of the group's ladder */
  readonly delayMs?: number;
  /** It does not come again and is a dead letter. */
  readonly deadLetter?: boolean;
}

type OneOrMore = DeliveredMessage | readonly DeliveredMessage[];

const invisibleMsDefault = 30_000;

/**
 * Receives messages when it is asked to, RocketMQ's SimpleConsumer: each is the caller's for a while, and comes again unless
 * it is acknowledged. At least once; in an orderly group, a message group's messages in their order.
 *
 * What is settled in one call stands for each message by itself: where any failed, the error's `details.results` tells which.
 */
export class SimpleConsumer implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #options: SimpleConsumerOptions;
  /** By how long what they keep is invisible. */
  readonly #keeping = new Map<number, KeepAlive>();
  #turn = 0;
  #closed = false;

  constructor(options: SimpleConsumerOptions) {
    this.#connection = new Connection(options);
    this.#options = options;
  }

  /** Messages of a topic from any queue that has some; none if there is none within `waitMs`. */
  async receive(topic: string, options: ReceiveOptions = {}): Promise<DeliveredMessage[]> {
    this.#expectOpen();
    const { signal, waitMs = 0, invisibleMs = invisibleMsDefault } = options;
    const { group } = this.#options;
    const brokers = readableBrokers(await this.#connection.route(topic, { signal }));
    const received = await inTurns(
      this.#connection,
      brokers,
      { start: this.#turn++, waitMs },
      (broker, turnWaitMs) =>
        receiveFrom(this.#connection, broker, {
          ...options,
          group,
          topic,
          waitMs: turnWaitMs,
          invisibleMs,
        }),
      (answer) => answer.messages.length === 0,
    );
    const messages = received?.messages ?? [];
    if (this.#options.keepAlive) this.#keeper(invisibleMs).hold(messages);
    return messages;
  }

  /** They are done with and never come again. Again is fine. */
  ack(messages: OneOrMore, options?: CallOptions): Promise<void> {
    return this.#settle(messages, { path: "ack" }, options);
  }

  /** They come again, to whoever asks then. */
  nack(messages: OneOrMore, { delayMs, deadLetter, ...options }: NackOptions = {}): Promise<void> {
    return this.#settle(messages, { path: "nack", body: { delayMs, deadLetter } }, options);
  }

  /** They stay invisible to others for so long from now (ms). */
  async extend(messages: OneOrMore, invisibleMs: number, options?: CallOptions): Promise<void> {
    const body = { invisibleMs };
    const errors = await this.#settleEach(messages, { path: "extend", body }, options);
    throwFirst(errors);
  }

  /**
   * Acknowledges messages and sends others in their stead: all of it or nothing, and once, however often it is tried. All
   * are of one broker.
   */
  async forward(
    messages: OneOrMore,
    sends: readonly Message[],
    options: CallOptions = {},
  ): Promise<readonly object[]> {
    this.#expectOpen();
    const list = asList(messages);
    const [first] = list;
    if (first === undefined) throw misuse("messages", 0, "at least one message");
    const strange = list.find(({ broker }) => broker !== first.broker);
    if (strange !== undefined) throw misuse("messages", strange.broker, `all of ${first.broker}`);
    sends.forEach((message, index) => void toBatchMessage(message, `sends[${index}]`, 0));
    const topics = [...new Set(sends.map(({ topic }) => topic))];
    const json = {
      receiptHandles: list.map(({ receiptHandle }) => receiptHandle),
      sends: topics.map((topic) => ({
        topic,
        messages: sends.filter((message) => message.topic === topic).map(toJson),
      })),
    };
    const { results } = await this.#connection.request<{ results: object[] }>(
      this.#connection.routes.brokerOf(first),
      { method: "POST", path: `${this.#path}/forward`, json, ...options },
    );
    this.#release(list);
    return results;
  }

  /** Keeps nothing any more: what is in hand comes again when its time is over. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const keeper of this.#keeping.values()) keeper.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #path(): string {
    return `/v1/groups/${encodeURIComponent(this.#options.group)}`;
  }

  async #settle(messages: OneOrMore, verb: Verb, options?: CallOptions): Promise<void> {
    const errors = await this.#settleEach(messages, verb, options);
    this.#release(asList(messages).filter((_, index) => errors[index] === undefined));
    throwFirst(errors);
  }

  #settleEach(messages: OneOrMore, verb: Verb, options?: CallOptions) {
    this.#expectOpen();
    const { group } = this.#options;
    return settleEach(this.#connection, group, asList(messages), verb, options);
  }

  #keeper(invisibleMs: number): KeepAlive {
    const known = this.#keeping.get(invisibleMs);
    if (known !== undefined) return known;
    const { group, keepMsMax = 1_800_000 } = this.#options;
    const made = new KeepAlive(this.#connection, { group, invisibleMs, keepMsMax });
    this.#keeping.set(invisibleMs, made);
    return made;
  }

  #release(messages: readonly DeliveredMessage[]): void {
    for (const keeper of this.#keeping.values()) keeper.release(messages);
  }

  #expectOpen(): void {
    if (this.#closed) throw new TassoError("closed", "the consumer was closed");
  }
}

function asList(messages: OneOrMore): readonly DeliveredMessage[] {
  return Array.isArray(messages) ? messages : [messages as DeliveredMessage];
}
