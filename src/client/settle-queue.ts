import type { Connection } from "./connection.ts";
import type { DeliveredMessage } from "./received-message.ts";
import { settleEach, type Verb } from "./settle.ts";
import type { TassoError } from "./tasso-error.ts";

interface Waiting {
  readonly message: DeliveredMessage;
  readonly done: (error: TassoError | undefined) => void;
}

/** Settles messages one by one for those who ask, and together over the wire: what comes while a request is out goes with the next. */
export class SettleQueue {
  readonly #connection: Connection;
  readonly #group: string;
  /** By what is to be done with them. */
  readonly #waiting = new Map<string, { readonly verb: Verb; readonly entries: Waiting[] }>();
  readonly #busy = new Set<string>();

  constructor(connection: Connection, group: string) {
    this.#connection = connection;
    this.#group = group;
  }

  /** Answers what went wrong, if anything. Never rejects. */
  settle(message: DeliveredMessage, verb: Verb): Promise<TassoError | undefined> {
    const key = JSON.stringify([verb.path, verb.body]);
    return new Promise((done) => {
      const waiting = this.#waiting.get(key) ?? { verb, entries: [] };
      waiting.entries.push({ message, done });
      this.#waiting.set(key, waiting);
      if (!this.#busy.has(key)) void this.#run(key);
    });
  }

  async #run(key: string): Promise<void> {
    this.#busy.add(key);
    // What is settled in the same turn goes together.
    await Promise.resolve();
    for (let next = this.#take(key); next !== undefined; next = this.#take(key)) {
      const { verb, entries } = next;
      const messages = entries.map(({ message }) => message);
      const errors = await settleEach(this.#connection, this.#group, messages, verb);
      entries.forEach(({ done }, index) => {
        done(errors[index]);
      });
    }
    this.#busy.delete(key);
  }

  #take(key: string) {
    const waiting = this.#waiting.get(key);
    this.#waiting.delete(key);
    return waiting;
  }
}
