import { hex } from "../broker/bytes.ts";
import { batchIdBytes } from "../broker/log/batch.ts";
import type { Message as BatchMessage } from "../broker/log/message.ts";
import { queueOfGroup } from "../broker/topics/queue-choice.ts";
import { type CallOptions, Connection } from "./connection.ts";
import {
  bufferBytesOf,
  type DelayedReceipt,
  isDelayed,
  type Message,
  type Receipt,
  type StoredReceipt,
  toBatchMessage,
  toJson,
} from "./message.ts";
import { type ClientOptions, checkedTimeout, misuse } from "./options.ts";
import { OutgoingBatch, type Settle } from "./outgoing-batch.ts";
import { type Broker, preferred } from "./routes.ts";
import { isTassoError, TassoError, toldError } from "./tasso-error.ts";
import { type Outgoing, TopicSender } from "./topic-sender.ts";
import {
  type Checker,
  type TransactionOptions,
  type TransactionReceipt,
  Transactions,
} from "./transactions.ts";

export interface ProducerOptions extends ClientOptions {
  /** Names the producers that can say what became of each other's transactions; needed for `sendInTransaction`. */
  readonly group?: string;
  /** Asked about transactions of the group that nobody ended. It is asked from the first transaction on, or from `answerChecks` on. */
  readonly checker?: Checker;
  /** So long a message given to `sendAsync` waits for others (ms). @default 5 */
  readonly lingerMs?: number;
  /** A batch of this size waits no longer (bytes). @default 262144 */
  readonly batchBytes?: number;
  /** What `sendAsync` was given and is not settled may be so large before it says no more (bytes). @default 33554432 */
  readonly bufferBytes?: number;
  /** Batches larger than that are compressed with gzip (bytes). @default never: it costs 15 ms of CPU a MB, and pays where storage is billed by size */
  readonly compressOverBytes?: number;
}

/** Told once of each message: an error, or where it landed. */
export type SendCallback = (error: TassoError | undefined, receipt?: Receipt) => void;

/**
 * Sends messages. A message is durable when its receipt is there, and lands once, however many attempts that took.
 *
 * - Within a message group messages are stored in the order of the calls: one batch of its queue is on its way at a time.
 * - Everything else goes to the next queue of a broker that did not just fail.
 * - What fails after its time with `outcomeUnknown` may have been stored; without, it surely was not.
 */
export class Producer implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #options: Required<
    Pick<ProducerOptions, "lingerMs" | "batchBytes" | "bufferBytes" | "compressOverBytes">
  >;
  readonly #topics = new Map<string, TopicSender>();
  readonly #transactions: Transactions;
  readonly #calls = new Set<Promise<unknown>>();
  /** What is taken asynchronously is encoded at once, so its text can become bytes here. */
  readonly #scratch = new Uint8Array(scratchBytes);
  #buffered = 0;
  #nextBroker = 0;
  readonly #waiting: (() => void)[] = [];
  #closed = false;

  constructor(options: ProducerOptions) {
    this.#connection = new Connection(options);
    const { lingerMs = 5, batchBytes = 262_144, bufferBytes = 33_554_432 } = options;
    const { compressOverBytes = Number.POSITIVE_INFINITY } = options;
    this.#options = { lingerMs, batchBytes, bufferBytes, compressOverBytes };
    this.#transactions = new Transactions(this.#connection, options);
  }

  /**
   * Sends one message, or several of one topic together: those of one queue stand or fall together. Several are told of
   * in their order; where any failed, the error's `details.results` has a receipt or an error for each.
   *
   * Takes at most `timeoutMs` (3 s), all attempts together.
   */
  send(message: Message, options?: CallOptions): Promise<Receipt>;
  send(messages: readonly Message[], options?: CallOptions): Promise<Receipt[]>;
  async send(
    given: Message | readonly Message[],
    options: CallOptions = {},
  ): Promise<Receipt | Receipt[]> {
    if (!isList(given)) {
      const [receipt] = await this.#sendAll([given], options);
      return receipt as Receipt;
    }
    return await this.#sendAll(given, options);
  }

  /**
   * Takes a message, to be sent soon with others; `callback` is told once what became of it. Its time (`timeoutMs`)
   * begins when its batch is first sent.
   *
   * Answers whether there is room for more. After `false` wait for {@link ready} before the next: this message was taken all
   * the same, none is dropped, but the buffer grows beyond its bound as long as you do not wait.
   */
  sendAsync(message: Message, callback: SendCallback): boolean {
    try {
      this.#expectOpen();
      if (isDelayed(message)) {
        this.#keep(this.#sendDelayed(message.topic, [message], {}), ([receipt]) => {
          if (isTassoError(receipt)) callback(receipt, undefined);
          else callback(undefined, receipt);
        });
        return this.#hasRoom;
      }
      const now = this.#now();
      const made = this.#take(message, "message", now, this.#scratch);
      const bufferBytes = bufferBytesOf(made.message);
      const dueAt = now + this.#options.lingerMs;
      const sender = this.#senderOf(message.topic);
      this.#buffered += bufferBytes;
      const release = this.#release;
      sender.add({ ...made, settle: callback, dueAt, bufferBytes, release });
    } catch (error) {
      const told = this.#connection.asTassoError(error);
      queueMicrotask(() => callback(told, undefined));
    }
    return this.#hasRoom;
  }

  /** Resolves when `sendAsync` has room again. */
  ready(): Promise<void> {
    if (this.#hasRoom) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Sends what `sendAsync` was given so far without waiting for others; resolves when all of it is settled, well or not. */
  async flush(): Promise<void> {
    await Promise.all([...this.#topics.values()].map((sender) => sender.flush()));
    await Promise.allSettled([...this.#calls]);
  }

  /**
   * Sends a message once and never asks what became of it: no retry, no guarantee. Throws only what is wrong with the
   * message itself.
   */
  sendOneway(message: Message): void {
    this.#expectOpen();
    const { topic } = message;
    toBatchMessage(message, "message", this.#now());
    this.#keep(this.#sendOnce(topic, message), () => undefined);
  }

  /**
   * Stores a message that nobody sees, does `localWork`, and then makes the message visible or drops it: `commit` or
   * `rollback`, as `localWork` answers. Where it answers `unknown`, or the commit does not get through, the checker of the
   * group is asked later. Where it throws, the message is dropped and the error passed on.
   */
  sendInTransaction(
    message: Message,
    localWork: (transactionId: string) => Promise<"commit" | "rollback" | "unknown">,
    options: TransactionOptions = {},
  ): Promise<TransactionReceipt> {
    this.#expectOpen();
    return this.#kept(this.#transactions.send(message, localWork, options));
  }

  /**
   * Has the checker asked from now on, about what others of the group left open in this topic or it did itself before it
   * was restarted. Without this it is asked from its own first transaction on. Throws where the producer has no `group` or
   * no `checker`, and where no broker of the topic is found within the deadline.
   */
  answerChecks(topic: string, options: CallOptions = {}): Promise<void> {
    this.#expectOpen();
    return this.#kept(this.#transactions.answerChecks(topic, options));
  }

  /**
   * Recalls a message that still waits. Again is fine. Throws `recall_too_late`, with the place in `details`, once it was
   * delivered; `delayed_not_found` where the handle was never given.
   */
  async recall(
    receipt: Pick<DelayedReceipt, "topic" | "recallHandle" | "broker">,
    options: CallOptions = {},
  ): Promise<void> {
    this.#expectOpen();
    const route = await this.#connection.route(receipt.topic, options);
    const broker = route.brokers.get(receipt.broker);
    if (broker === undefined)
      throw misuse("receipt.broker", receipt.broker, `a broker of ${receipt.topic}`);
    const path = `/v1/delayed/${encodeURIComponent(receipt.recallHandle)}`;
    await this.#connection.request(broker, { method: "DELETE", path, ...options });
  }

  /** Sends what it was given, waits until all is settled, and takes no more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#transactions.close();
    await this.flush();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #sendAll(messages: readonly Message[], options: CallOptions): Promise<Receipt[]> {
    this.#expectOpen();
    const [first] = messages;
    if (first === undefined || messages.length > messagesMax)
      throw misuse("messages", messages.length, `1 to ${messagesMax} messages`);
    const { topic } = first;
    const other = messages.findIndex((one) => one.topic !== topic);
    if (other > 0) throw misuse(`messages[${other}].topic`, messages[other]?.topic, topic);
    const now = this.#now();
    const results: (Receipt | TassoError)[] = new Array(messages.length);
    const delayed = messages.flatMap((one, index) => (isDelayed(one) ? [index] : []));
    const at = (index: number) => messages[index] as Message;
    const rest = [...messages.keys()].filter((index) => !isDelayed(at(index)));
    const path = (index: number) => (messages.length === 1 ? "message" : `messages[${index}]`);
    const made = rest.map((index) => ({ index, ...this.#take(at(index), path(index), now) }));
    const work = [this.#sendStored(topic, made, results, options)];
    if (delayed.length > 0)
      work.push(
        this.#sendDelayed(topic, delayed.map(at), options).then((told) => {
          delayed.forEach((index, place) => {
            results[index] = told[place] as Receipt | TassoError;
          });
        }),
      );
    await this.#kept(Promise.all(work));
    const failed = results.find(isTassoError);
    if (failed === undefined) return results as Receipt[];
    if (messages.length === 1) throw failed;
    const { code, message, requestId, cause } = failed;
    const unknown = results.some((result) => isTassoError(result) && result.outcomeUnknown);
    const details = { ...failed.details, results };
    throw new TassoError(code, message, { details, requestId, outcomeUnknown: unknown, cause });
  }

  /** Those without an order in a batch of their own, at once; the others with the lane of their queue. */
  async #sendStored(
    topic: string,
    made: readonly (Pick<Outgoing, "message" | "pinned"> & { readonly index: number })[],
    results: (Receipt | TassoError)[],
    options: CallOptions,
  ): Promise<void> {
    const { timeoutMs = this.#connection.settings.timeoutMs, signal } = options;
    const now = this.#now();
    const deadline = now + checkedTimeout(timeoutMs, "timeoutMs");
    const alone = signal !== undefined || options.timeoutMs !== undefined || made.length > 1;
    const sender = this.#senderOf(topic);
    const told: Promise<void>[] = [];
    const free: OutgoingBatch[] = [];
    for (const { index, message, pinned } of made) {
      const done = new Promise<void>((resolve) => {
        const settle: Settle = (error, receipt) => {
          results[index] = error ?? (receipt as StoredReceipt);
          resolve();
        };
        if (message.messageGroup !== undefined || pinned !== undefined) {
          const base = { message, settle, dueAt: now, deadline, timeoutMs, alone, signal };
          sender.add(pinned === undefined ? base : { ...base, pinned });
          return;
        }
        const last = free.at(-1);
        const batch =
          last?.hasRoomFor(message) === true
            ? last
            : new OutgoingBatch(now, { dueAt: now, deadline, signal });
        if (batch !== last) free.push(batch);
        batch.add(message, settle);
      });
      told.push(done);
    }
    for (const batch of free) void sender.sendNow(batch);
    await Promise.all(told);
  }

  /** Each waits by itself; the request lands once like any other. */
  async #sendDelayed(
    topic: string,
    messages: readonly Message[],
    options: CallOptions,
  ): Promise<(Receipt | TassoError)[]> {
    messages.forEach((message, index) => {
      toBatchMessage(message, messages.length === 1 ? "message" : `messages[${index}]`, 0);
    });
    const connection = this.#connection;
    const { random } = connection.settings;
    let placed: DelayedPlacement | undefined;
    try {
      const { results, broker } = await connection.traced(
        "send",
        { topic, messages: messages.length },
        () =>
          connection.retried(options, async ({ outcomeUnknown, timeoutMs }) => {
            // As in deliver.ts: once an attempt may have had effects, only its broker knows the batch.
            if (placed === undefined || !outcomeUnknown) {
              const target = await this.#brokerFor(topic, messages[0] as Message, options);
              const batchId = hex(random.bytes(batchIdBytes));
              const firstAttemptAt = connection.endpointOf(target).brokerNow();
              placed = { target, attempts: 0, once: { batchId, firstAttemptAt } };
            }
            const attempt = ++placed.attempts;
            const { target, once } = placed;
            const told = await connection.call<{ results: ToldResult[] }>(
              connection.endpointOf(target),
              {
                method: "POST",
                path: `/v1/topics/${topic}/messages`,
                body: JSON.stringify({ messages: messages.map(toJson), ...once, attempt }),
                timeoutMs,
                signal: options.signal,
              },
            );
            const failed = told.results.map(errorIn).find((error) => error?.retryable);
            // The others have landed: the next attempt has to be known by the same id.
            if (failed !== undefined)
              throw new TassoError(failed.code, failed.message, { outcomeUnknown: true });
            return { ...told, broker: target.name };
          }),
      );
      return results.map(
        (result) => errorIn(result) ?? ({ ...result, topic, broker } as unknown as Receipt),
      );
    } catch (error) {
      return messages.map(() => connection.asTassoError(error));
    }
  }

  /** That of the message group, as its lane has it; otherwise one that nothing is known against, in turn. */
  async #brokerFor(
    topic: string,
    { messageGroup, broker }: Message,
    options: CallOptions,
  ): Promise<Broker> {
    const { queues, brokers } = await this.#connection.route(topic, options);
    const ofGroup =
      messageGroup === undefined ? undefined : queues[queueOfGroup(messageGroup, queues.length)];
    const named = broker ?? ofGroup?.broker;
    if (named !== undefined) {
      const found = brokers.get(named);
      if (found === undefined) throw misuse("broker", named, [...brokers.keys()].join(", "));
      return found;
    }
    const all = [...brokers.values()];
    const available = all.filter(({ endpoints }) => endpoints.some((one) => one.available));
    const some = available.length > 0 ? available : all;
    return some[this.#nextBroker++ % some.length] as Broker;
  }

  async #sendOnce(topic: string, message: Message): Promise<void> {
    const { timeoutMs } = this.#connection.settings;
    const target = await this.#brokerFor(topic, message, {});
    const [endpoint] = preferred(target.endpoints);
    if (endpoint === undefined) return;
    const body = JSON.stringify({ messages: [toJson(message)] });
    const path = `/v1/topics/${topic}/messages`;
    await this.#connection.call(endpoint, { method: "POST", path, body, timeoutMs });
  }

  #take(
    message: Message,
    path: string,
    now: number,
    scratch?: Uint8Array,
  ): Pick<Outgoing, "message" | "pinned"> {
    const made: BatchMessage = toBatchMessage(message, path, now, scratch);
    const { queue, broker } = message;
    if (queue === undefined) return { message: made };
    if (message.messageGroup !== undefined)
      throw misuse(`${path}.queue`, queue, "absent where messageGroup is given, which chooses one");
    return { message: made, pinned: { queue, broker } };
  }

  #senderOf(topic: string): TopicSender {
    const known = this.#topics.get(topic);
    if (known !== undefined) return known;
    if (!/^[A-Za-z0-9_-]{1,127}$/.test(topic))
      throw misuse("topic", topic, "1 to 127 of the characters A-Z a-z 0-9 _ -");
    const { timeoutMs } = this.#connection.settings;
    const made = new TopicSender(this.#connection, topic, { ...this.#options, timeoutMs });
    this.#topics.set(topic, made);
    return made;
  }

  get #hasRoom(): boolean {
    return this.#buffered < this.#options.bufferBytes;
  }

  readonly #release = (bytes: number): void => {
    this.#buffered -= bytes;
    const isEnough = this.#buffered <= this.#options.bufferBytes * roomShare;
    if (isEnough) for (const resolve of this.#waiting.splice(0)) resolve();
  };

  /** `close` waits for it. */
  #kept<T>(call: Promise<T>): Promise<T> {
    this.#keep(call, () => undefined);
    return call;
  }

  #keep<T>(call: Promise<T>, told: (result: T) => void): void {
    const kept = call.then(told, () => undefined).finally(() => this.#calls.delete(kept));
    this.#calls.add(kept);
  }

  #expectOpen(): void {
    if (this.#closed) throw new TassoError("closed", "the producer was closed");
  }

  #now(): number {
    return this.#connection.settings.clock.now();
  }
}

const messagesMax = 1_024;
const scratchBytes = 16_384;
/** Who waits for room is woken when so much of the buffer is used, so that not every message wakes somebody. */
const roomShare = 0.75;

interface DelayedPlacement {
  readonly target: Broker;
  readonly once: { readonly batchId: string; readonly firstAttemptAt: number };
  attempts: number;
}

type ToldResult =
  | { readonly error: { code: string; message: string; details?: Record<string, unknown> } }
  | { readonly messageId: string };

function errorIn(result: ToldResult): TassoError | undefined {
  if (!("error" in result)) return undefined;
  const { code, message, details } = result.error;
  return toldError(code, message, details);
}

function isList(given: Message | readonly Message[]): given is readonly Message[] {
  return Array.isArray(given);
}
