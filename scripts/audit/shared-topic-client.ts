import { Producer, SimpleConsumer, TassoError } from "../../src/client/index.ts";

export interface LoadOptions {
  readonly nameServers: readonly string[];
  readonly topic: string;
  readonly group: string;
  readonly producers: number;
  readonly consumers: number;
  /** Each producer has so many sends on their way at most. */
  readonly atOnce: number;
  /** Between two sends of a producer (ms). */
  readonly everyMs: number;
  /** What a consumer was given and did not get comes again after this time (ms). */
  readonly invisibleMs: number;
  /** What the application gives a send (ms). */
  readonly deadlineMs: number;
}

/** A send that the application was told had failed. */
export interface Rejected {
  readonly at: number;
  readonly mark: string;
  readonly error: string;
  readonly outcomeUnknown: boolean;
}

/** An application whose producers and consumers know nothing but name servers. */
export class SharedTopicLoad {
  readonly acknowledged = new Map<string, { readonly at: number; readonly broker: string }>();
  readonly rejected: Rejected[] = [];
  /** How often each message was received. */
  readonly received = new Map<string, number>();
  /** The slowest send that was acknowledged (ms). */
  slowestMs = 0;
  readonly #options: LoadOptions;
  readonly #producing = new AbortController();
  readonly #consuming = new AbortController();
  readonly #work: Promise<void>[] = [];
  readonly #consumers: Promise<void>[] = [];

  constructor(options: LoadOptions) {
    this.#options = options;
    for (let at = 0; at < options.producers; at++) this.#work.push(this.#produce(at));
    for (let at = 0; at < options.consumers; at++) this.#consumers.push(this.#consume());
  }

  /** Sends no more; resolves when all that was sent is answered. */
  async stopProducing(): Promise<void> {
    this.#producing.abort();
    await Promise.all(this.#work);
  }

  async stopConsuming(): Promise<void> {
    this.#consuming.abort();
    await Promise.all(this.#consumers);
  }

  async #produce(number: number): Promise<void> {
    const { nameServers, topic, deadlineMs, everyMs, atOnce } = this.#options;
    await using producer = new Producer({ nameServers, timeoutMs: deadlineMs });
    const underWay = new Set<Promise<void>>();
    for (let count = 0; !this.#producing.signal.aborted; count++) {
      const mark = `${number}-${count}`;
      const sent = this.#send(producer, topic, mark).finally(() => underWay.delete(sent));
      underWay.add(sent);
      await pause(everyMs);
      if (underWay.size >= atOnce) await Promise.race(underWay);
    }
    await Promise.all(underWay);
  }

  async #send(producer: Producer, topic: string, mark: string): Promise<void> {
    const beganAt = performance.now();
    try {
      const { broker } = await producer.send({ topic, body: mark });
      this.acknowledged.set(mark, { at: Date.now(), broker });
      this.slowestMs = Math.max(this.slowestMs, performance.now() - beganAt);
    } catch (error) {
      const { code, message, outcomeUnknown } = error as TassoError;
      this.rejected.push({ at: Date.now(), mark, error: `${code}: ${message}`, outcomeUnknown });
    }
  }

  async #consume(): Promise<void> {
    const { nameServers, topic, group, invisibleMs } = this.#options;
    const { signal } = this.#consuming;
    await using consumer = new SimpleConsumer({ nameServers, group });
    while (!signal.aborted) {
      try {
        const messages = await consumer.receive(topic, {
          max: 32,
          waitMs: 1_000,
          invisibleMs,
        });
        for (const message of messages) {
          const mark = message.text();
          this.received.set(mark, (this.received.get(mark) ?? 0) + 1);
        }
        if (messages.length > 0) await consumer.ack(messages);
      } catch (error) {
        if (!(error instanceof TassoError)) throw error;
        // What was not acknowledged comes again.
        await pause(50);
      }
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
