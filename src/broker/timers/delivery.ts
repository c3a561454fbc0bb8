import { assert } from "../assert.ts";
import { isBrokerError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Log } from "../log/log.ts";
import { Superseded } from "../log/pending-append.ts";
import { Damaged } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import { type Item, keyId } from "../ports/store.ts";
import type { Topics } from "../topics/topics.ts";
import { AtOnce } from "./at-once.ts";
import {
  decodeTimer,
  queueOfTimer,
  type Timer,
  type TimerName,
  timerNameOf,
  waitingBatch,
} from "./timer.ts";
import { turn } from "./timer-writes.ts";

/**
 * So many are delivered at once in one process. Enough to fill a commit; more of them would only keep whoever sends at the
 * same time waiting.
 */
const deliveriesAtOnce = 128;

/** Appends messages that are due, each in the commit that turns its row. */
export class Delivery {
  readonly #log: Log;
  readonly #topics: Topics;
  readonly #damaged = new Set<string>();
  readonly #atOnce = new AtOnce(deliveriesAtOnce);
  /** Hears how late each message was (ms). */
  onDelivered: (latenessMs: number) => void = () => {};
  /** Hears of each message that cannot be read, once. */
  onDamaged: (error: Damaged) => void = () => {};

  constructor(log: Log, topics: Topics) {
    this.#log = log;
    this.#topics = topics;
  }

  /** Answers the first of those that have to be tried again. */
  async deliver(io: Ports, due: readonly Item[]): Promise<TimerName | undefined> {
    // Those of a queue together, so that they share commits.
    const byQueue = due.toSorted((a, b) => queueOfTimer(a) - queueOfTimer(b));
    const deliveries = await Promise.allSettled(
      byQueue.map((item) => this.#atOnce.run(() => this.#deliverOne(io, item))),
    );
    // Only now: none of them may still be under way when they are tried again.
    for (const delivery of deliveries) if (delivery.status === "rejected") throw delivery.reason;
    const failed = byQueue.filter((_, index) => {
      const delivery = deliveries[index];
      return delivery?.status === "fulfilled" && !delivery.value;
    });
    return failed.map(timerNameOf).sort((a, b) => a.dueAt - b.dueAt)[0];
  }

  /** Whether nothing is left to do: it was delivered, or somebody else turned it. */
  async #deliverOne(io: Ports, item: Item): Promise<boolean> {
    let timer: Timer | undefined;
    try {
      timer = decodeTimer(item);
      const { topicId, queue } = timer;
      const topic = await this.#topics.get(io, timer.topic, topicId);
      if (topic.id !== topicId) return await this.#drop(io, item, timer);
      const delivered = { ...timer, state: "delivered" } as const;
      // A large one may have waited for longer than was foreseen, or is to be kept for longer.
      const [placed] = await this.#log.place(io, [{ batch: waitingBatch(item) }], topic);
      assert(placed !== undefined, "one part was placed");
      await this.#log.append(io, { topicId, queue }, placed.batch, {
        retentionMs: topic.retentionMs,
        turn: ({ base: offset, storedAt }) =>
          turn(io, item, { ...delivered, offset, deliveredAt: storedAt }),
      });
      this.onDelivered(io.clock.now() - timerNameOf(item).dueAt);
      return true;
    } catch (error) {
      if (error instanceof Superseded) return true;
      if (error instanceof Damaged) return this.#passOver(item, error);
      if (!isBrokerError(error)) throw error;
      const { code } = error;
      if (timer !== undefined && (code === "topic_not_found" || code === "queue_not_found"))
        return await this.#drop(io, item, timer);
      // Nobody knows, or others were always faster: the row tells when it is looked at again.
      if (code === "outcome_unknown" || code === "contention") return false;
      throw error;
    }
  }

  /** One that is damaged is told of once and left where it is: others must not wait behind it. */
  #passOver({ key }: Item, error: Damaged): true {
    const name = keyId(key);
    if (!this.#damaged.has(name)) this.onDamaged(error);
    this.#damaged.add(name);
    return true;
  }

  async #drop(io: Ports, item: Item, timer: Timer): Promise<boolean> {
    const dropped = turn(io, item, { ...timer, state: "dropped" });
    const until = io.clock.now() + limits.appendDeadlineMs;
    const { outcome } = await io.store.commit([dropped], until);
    return outcome !== "unknown";
  }
}
