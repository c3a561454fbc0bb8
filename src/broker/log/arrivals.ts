import type { Clock } from "../ports/clock.ts";
import { type QueueId, queueName } from "../schema.ts";

/** Somebody who waits for messages of some queues. */
export interface Watch {
  /** Resolves when something has come since the watch began, or after `ms`. */
  wait(clock: Clock, ms: number): Promise<void>;
  end(): void;
}

/** Wakes those who wait for messages of a queue, at once, when this process appends some or learns of some. */
export class Arrivals {
  readonly #waiting = new Map<string, Set<AbortController>>();
  #closed = false;

  /** Resolves at the next append to one of the queues that this process learns of, or after `ms`. */
  async wait(clock: Clock, queues: readonly QueueId[], ms: number): Promise<void> {
    const watch = this.watch(queues);
    await watch.wait(clock, ms);
    watch.end();
  }

  /** Watches from now on: what is announced before the wait begins ends it at once. */
  watch(queues: readonly QueueId[]): Watch {
    const waiter = new AbortController();
    if (this.#closed) waiter.abort();
    const names = queues.map(queueName);
    for (const name of names) {
      const waiting = this.#waiting.get(name) ?? new Set();
      this.#waiting.set(name, waiting);
      waiting.add(waiter);
    }
    return {
      wait: (clock, ms) => clock.sleep(ms, waiter.signal),
      end: () => {
        for (const name of names) {
          const waiting = this.#waiting.get(name);
          waiting?.delete(waiter);
          if (waiting?.size === 0) this.#waiting.delete(name);
        }
      },
    };
  }

  announce(queue: QueueId): void {
    for (const waiter of this.#waiting.get(queueName(queue)) ?? []) waiter.abort();
  }

  /** From now on nobody waits: a server that shuts down answers its long polls. */
  close(): void {
    this.#closed = true;
    for (const waiting of this.#waiting.values()) for (const waiter of waiting) waiter.abort();
  }

  get closed(): boolean {
    return this.#closed;
  }
}
