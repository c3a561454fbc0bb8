import { concatBytes } from "../bytes.ts";
import { compareAndSet } from "../compare-and-set.ts";
import { BrokerError } from "../errors.ts";
import type { Log } from "../log/log.ts";
import type { Ports } from "../ports/ports.ts";
import { type Item, type Key, storeLimits } from "../ports/store.ts";
import { keys, partitions, queueName } from "../schema.ts";
import type { Topic } from "../topics/topic.ts";
import { decodeGroupOffset, encodeGroupOffset } from "./group-offset.ts";

export interface QueueLag {
  readonly queue: number;
  /** Absent where the group never committed: it begins at the first message. */
  readonly committed: number | undefined;
  readonly max: number;
  readonly lag: number;
}

const rememberedMax = 100_000;

/** The committed offsets of consumer groups, a row for each group and queue. */
export class GroupOffsets {
  /** The rows as this broker last wrote them, so that a commit is one write and no read. */
  readonly #written = new Map<string, Item>();

  /** Moves offsets forward, each queue for itself. A lower one changes nothing. Answers where each is now. */
  async commit(
    io: Ports,
    {
      group,
      topic,
      offsets,
    }: { group: string; topic: Topic; offsets: ReadonlyMap<number, number> },
  ): Promise<Map<number, number>> {
    for (const queue of offsets.keys()) expectQueue(topic, queue, `offsets.${queue}`);
    const after = await Promise.all(
      [...offsets].map(
        async ([queue, next]): Promise<[number, number]> => [
          queue,
          await this.#commitOne(io, { group, topic, queue, next }),
        ],
      ),
    );
    return new Map(after);
  }

  /** The committed offset of each queue that has one. */
  async get(io: Ports, group: string, topic: Topic): Promise<Map<number, number>> {
    const rows = await io.store.get(queuesOf(topic).map((queue) => keyOf(group, topic, queue)));
    const committed = new Map<number, number>();
    rows.forEach((row, queue) => {
      if (row !== undefined) committed.set(queue, decodeGroupOffset(row.value).next);
    });
    return committed;
  }

  async lag(io: Ports, log: Log, group: string, topic: Topic): Promise<QueueLag[]> {
    const [committed, ranges] = await Promise.all([
      this.get(io, group, topic),
      Promise.all(queuesOf(topic).map((queue) => log.range(io, { topicId: topic.id, queue }))),
    ]);
    return ranges.map(({ min, max }, queue) => {
      const next = committed.get(queue);
      return { queue, committed: next, max, lag: max - Math.min(max, Math.max(next ?? min, min)) };
    });
  }

  /** Throws `group_lags` if a group that ever committed here has not consumed all of the topic. */
  async expectNoLag(io: Ports, log: Log, topic: Topic): Promise<void> {
    for (const group of await groupsOf(io, topic)) {
      const lagging = (await this.lag(io, log, group, topic)).find((each) => each.lag > 0);
      if (lagging === undefined) continue;
      const { queue, lag } = lagging;
      const message = `group ${group} has not consumed all of queue ${queue}; force=true deletes all the same`;
      throw new BrokerError("group_lags", message, { group, queue, lag });
    }
  }

  async #commitOne(
    io: Ports,
    { group, topic, queue, next }: { group: string; topic: Topic; queue: number; next: number },
  ): Promise<number> {
    const key = keyOf(group, topic, queue);
    const name = `${group}@${queueName({ topicId: topic.id, queue })}`;
    const known = this.#written.get(name);
    const ahead = known !== undefined && decodeGroupOffset(known.value).next < next;
    const value = encodeGroupOffset({ next });
    const { result, version } = await compareAndSet(
      io,
      key,
      (current) => {
        const before = current === undefined ? -1 : decodeGroupOffset(current.value).next;
        return before >= next ? { unchanged: before } : { value, result: next };
      },
      ahead ? known : undefined,
    );
    if (result === next && version !== undefined) this.#remember(name, { key, value, version });
    return result;
  }

  #remember(name: string, item: Item): void {
    if (this.#written.size >= rememberedMax) this.#written.clear();
    this.#written.set(name, item);
  }
}

/** Throws `queue_not_found` where the topic has no such queue; `field` is where the caller named it. */
export function expectQueue(topic: Topic, queue: number, field = "queue"): void {
  if (queue < topic.queues) return;
  throw new BrokerError(
    "queue_not_found",
    `topic ${topic.name} has the queues 0 to ${topic.queues - 1}`,
    {
      field,
      given: queue,
      topic: topic.name,
      queue,
      allowed: `0 to ${topic.queues - 1}`,
    },
  );
}

function keyOf(group: string, topic: Topic, queue: number): Key {
  return keys.groupOffset({ topicId: topic.id, queue }, group);
}

/** The groups that committed offsets in any queue of the topic. */
async function groupsOf(io: Ports, topic: Topic): Promise<Set<string>> {
  const groups = new Set<string>();
  for (const queue of queuesOf(topic)) {
    const partition = partitions.groupOffsets({ topicId: topic.id, queue });
    let page = await io.store.scan({ partition, limit: storeLimits.scanItemsMax });
    for (;;) {
      for (const { key } of page.items) groups.add(decoder.decode(key.sort));
      const last = page.items.at(-1);
      if (!page.more || last === undefined) break;
      // The lowest key above another is that one with a zero byte behind it.
      const from = concatBytes([last.key.sort, Uint8Array.of(0)]);
      page = await io.store.scan({ partition, from, limit: storeLimits.scanItemsMax });
    }
  }
  return groups;
}

const decoder = new TextDecoder();

function queuesOf(topic: Topic): number[] {
  return Array.from({ length: topic.queues }, (_, queue) => queue);
}
