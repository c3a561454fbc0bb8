import { BrokerError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Clock } from "../ports/clock.ts";
import type { Ports } from "../ports/ports.ts";
import { partitions, type QueueId, queueName, queueOffsetOf } from "../schema.ts";

interface KnownSegment {
  readonly base: number;
  readonly readAt: number;
}

/**
 * Which segments a queue has. The first entry is made with the topic, never on demand (rule 9 of the log), and what is
 * remembered is used for a bounded time only.
 */
export class SegmentDirectory {
  readonly #active = new Map<string, KnownSegment>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The base offset of the segment that takes appends. */
  async activeBase(io: Ports, queue: QueueId): Promise<number> {
    const known = this.#active.get(queueName(queue));
    const readAt = this.#clock.now();
    if (known !== undefined && readAt - known.readAt < limits.directoryAgeMsMax) return known.base;
    const page = await io.store.scan({
      partition: partitions.segments(queue),
      reverse: true,
      limit: 1,
    });
    const last = page.items[0];
    if (last === undefined)
      throw new BrokerError("queue_not_found", "the queue is gone", { queue: queue.queue });
    const base = queueOffsetOf(last.key.sort);
    this.#active.set(queueName(queue), { base, readAt });
    return base;
  }

  forget(queue: QueueId): void {
    this.#active.delete(queueName(queue));
  }
}
