import { hex } from "../broker/bytes.ts";
import { batchIdBytes } from "../broker/log/batch.ts";
import type { CallOptions, Connection } from "./connection.ts";
import { type Message, toBatchMessage, toJson } from "./message.ts";
import { type ClientOptions, misuse } from "./options.ts";
import { type ReceivedMessage, readMessage, type ToldMessage } from "./received-message.ts";
import type { Broker } from "./routes.ts";
import { isTassoError, type TassoError } from "./tasso-error.ts";

export type Outcome = "commit" | "rollback" | "unknown";

/** Says what became of the local work of a transaction. `unknown`: it is asked again later. */
export type Checker = (check: {
  readonly transactionId: string;
  readonly topic: string;
  readonly message: ReceivedMessage;
  /** How often this was asked, from 1. */
  readonly check: number;
}) => Promise<Outcome> | Outcome;

export interface TransactionOptions extends CallOptions {
  /** The checker is asked this long after (ms). @default 6000 */
  readonly checkAfterMs?: number;
}

export interface TransactionReceipt {
  readonly transactionId: string;
  readonly messageId: string;
  readonly topic: string;
  /** What is known: `PREPARED` where the checker will be asked. */
  readonly state: "PREPARED" | "COMMITTED" | "ROLLED_BACK" | "DISCARDED";
  readonly queue?: number;
  readonly offset?: number;
  readonly deliverAt?: number;
  readonly recallHandle?: string;
  /** Why it is not ended, where ending it was tried. */
  readonly error?: TassoError;
}

interface Check {
  readonly transactionId: string;
  readonly topic: string;
  readonly message: ToldMessage;
  readonly check: number;
}

const checksWaitMs = 5_000;
const pauseMs = 1_000;

/** Transactions of a producer, and the poll that asks what became of those that nobody ended. */
export class Transactions {
  readonly #connection: Connection;
  readonly #group: string | undefined;
  readonly #checker: Checker | undefined;
  readonly #polled = new Map<string, Promise<void>>();
  readonly #end = new AbortController();

  constructor(
    connection: Connection,
    { group, checker }: ClientOptions & { readonly group?: string; readonly checker?: Checker },
  ) {
    this.#connection = connection;
    this.#group = group;
    this.#checker = checker;
  }

  async send(
    message: Message,
    localWork: (transactionId: string) => Promise<Outcome>,
    options: TransactionOptions,
  ): Promise<TransactionReceipt> {
    const { group, checker } = this.#asked();
    toBatchMessage(message, "message", 0);
    const { topic } = message;
    const { broker, transactionId, messageId } = await this.#prepare(message, group, options);
    this.#poll(broker, group, checker);
    let outcome: Outcome;
    try {
      outcome = await localWork(transactionId);
    } catch (error) {
      await this.#endOf(broker, transactionId, "rollback", options).catch(() => undefined);
      throw error;
    }
    const base = { transactionId, messageId, topic, state: "PREPARED" } as const;
    if (outcome === "unknown") return base;
    try {
      return { ...base, ...(await this.#endOf(broker, transactionId, outcome, options)) };
    } catch (error) {
      // The work is done; that its outcome did not get through is for the checker to put right.
      if (isTassoError(error) && (error.retryable || error.outcomeUnknown))
        return { ...base, error };
      throw error;
    }
  }

  /** Has the checker asked about transactions of others of the group, too, by all brokers that hold the topic. */
  async answerChecks(topic: string, options: CallOptions): Promise<void> {
    const { group, checker } = this.#asked();
    const { brokers } = await this.#connection.route(topic, options);
    for (const broker of brokers.values()) this.#poll(broker, group, checker);
  }

  #asked(): { readonly group: string; readonly checker: Checker } {
    const [group, checker] = [this.#group, this.#checker];
    if (group === undefined) throw misuse("group", group, "given to send in a transaction");
    if (checker === undefined) throw misuse("checker", "absent", "given to send in a transaction");
    return { group, checker };
  }

  async close(): Promise<void> {
    this.#end.abort();
    await Promise.all(this.#polled.values());
  }

  async #prepare(message: Message, producerGroup: string, options: TransactionOptions) {
    const { topic } = message;
    const { checkAfterMs } = options;
    const { queues, brokers } = await this.#connection.route(topic, options);
    const [first] = queues;
    const broker = brokers.get(message.broker ?? first?.broker ?? "");
    if (broker === undefined) throw misuse("broker", message.broker, "a broker of the route");
    const json = {
      message: toJson(message),
      producerGroup,
      ...(checkAfterMs === undefined ? {} : { checkAfterMs }),
      batchId: hex(this.#connection.settings.random.bytes(batchIdBytes)),
      firstAttemptAt: this.#connection.endpointOf(broker).brokerNow(),
    };
    const path = `/v1/topics/${topic}/transactions`;
    const { timeoutMs, signal } = options;
    const prepared = await this.#connection.request<{ transactionId: string; messageId: string }>(
      broker,
      { method: "POST", path, json, timeoutMs, signal },
    );
    return { broker, ...prepared };
  }

  #endOf(
    broker: Broker,
    transactionId: string,
    verb: "commit" | "rollback",
    { timeoutMs, signal }: CallOptions,
  ): Promise<Pick<TransactionReceipt, "state" | "queue" | "offset">> {
    const path = `/v1/transactions/${transactionId}/${verb}`;
    return this.#connection.request(broker, { method: "POST", path, timeoutMs, signal });
  }

  /** One poll a broker, from its first transaction on until the producer is closed. */
  #poll(broker: Broker, group: string, checker: Checker): void {
    if (this.#polled.has(broker.name) || this.#end.signal.aborted) return;
    this.#polled.set(broker.name, this.#polling(broker, group, checker));
  }

  async #polling(broker: Broker, group: string, checker: Checker): Promise<void> {
    const { signal } = this.#end;
    const path = `/v1/producer-groups/${encodeURIComponent(group)}/checks`;
    while (!signal.aborted) {
      try {
        const { checks } = await this.#connection.request<{ checks: Check[] }>(broker, {
          method: "POST",
          path,
          json: { waitMs: checksWaitMs },
          waitMs: checksWaitMs,
          signal,
        });
        await Promise.all(checks.map((check) => this.#answer(broker, check, checker)));
      } catch {
        // Whoever cannot be asked now is asked again: a check that is lost comes again by itself.
        await this.#connection.settings.clock.sleep(pauseMs, signal);
      }
    }
  }

  /** A checker that throws, and an answer that does not get through, count as `unknown`: the broker asks again. */
  async #answer(broker: Broker, told: Check, checker: Checker): Promise<void> {
    const { transactionId, topic, check } = told;
    try {
      const message = readMessage({ ...told.message, topic });
      const outcome = await checker({ transactionId, topic, check, message });
      if (outcome !== "unknown") await this.#endOf(broker, transactionId, outcome, {});
    } catch {
      // It is asked again.
    }
  }
}
