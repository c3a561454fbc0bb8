import type { Clock } from "../ports/clock.ts";
import { type QueueId, queueName } from "../schema.ts";

/** Wakes those who wait for messages of a queue, at once, when this process appends some or learns of some. */
export class Arrivals {
  readonly #waiting = new Map<string, Set<AbortController>>();
  #closed = false;

  /** Resolves at the next append to the queue that this process learns of, or after `ms`. */
  async wait(clock: Clock, queue: QueueId, ms: number): Promise<void> {
    if (this.#closed) return;
    const name = queueName(queue);
    const waiting = this.#waiting.get(name) ?? new Set();
    this.#waiting.set(name, waiting);
    const waiter = new AbortController();
    waiting.add(waiter);
    await clock.sleep(ms, waiter.signal);
    waiting.delete(waiter);
    if (waiting.size === 0) this.#waiting.delete(name);
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
