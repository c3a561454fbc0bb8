import { assert } from "../assert.ts";
import { utf8 } from "../bytes.ts";
import { jitter, newVersion } from "../chance.ts";
import { compareAndSet } from "../compare-and-set.ts";
import { commitUntilDecided } from "../decided-commit.ts";
import { BrokerError, invalid } from "../errors.ts";
import { limits } from "../limits.ts";
import { encodeSegment, firstSegment } from "../log/segment.ts";
import { Damaged } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import type { Item, Write } from "../ports/store.ts";
import { decodeRecord, encodeRecord } from "../record.ts";
import { keys, partitions } from "../schema.ts";
import { type DueWork, putWork } from "../work/work.ts";
import {
  decodeTopic,
  defaultTopicSettings,
  encodeTopic,
  type Topic,
  type TopicSettings,
} from "./topic.ts";

const attemptsMax = 20;
const decoder = new TextDecoder();

/** The topics of a cell. What is remembered of one is used for `topicAgeMsMax`; a change made here is seen here at once. */
export class Topics {
  /** Told when a topic was made, changed or deleted here. */
  onChanged: () => void = () => undefined;
  readonly #known = new Map<string, { readonly topic: Topic; readonly readAt: number }>();

  /**
   * Makes a topic with the first directory entry of each queue, in one commit. Absent settings take the default, or what is
   * there. `initial` is what a new topic gets and one that is there need not have.
   */
  async ensure(
    io: Ports,
    name: string,
    wanted: Partial<TopicSettings>,
    initial: Partial<TopicSettings> = {},
  ): Promise<{ readonly topic: Topic; readonly created: boolean }> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const [existing, lastId] = await io.store.get([keys.topic(name), keys.lastTopicId]);
      if (existing !== undefined)
        return { topic: sameOrRefused(decodeTopic(existing.value), wanted), created: false };
      const createdAt = io.clock.now();
      const topic: Topic = {
        ...defaultTopicSettings,
        ...initial,
        ...wanted,
        name,
        id: nextId(lastId),
        createdAt,
      };
      const writes: Write[] = [
        {
          kind: "put",
          key: keys.topic(name),
          value: encodeTopic(topic),
          version: newVersion(io.random),
          expect: "absent",
        },
        {
          kind: "put",
          key: keys.lastTopicId,
          value: encodeRecord({ id: topic.id }),
          version: newVersion(io.random),
          expect: lastId === undefined ? "absent" : { version: lastId.version },
        },
        ...firstSegments(io, topic, 0),
      ];
      const result = await commitUntilDecided(io, writes, createdAt + limits.appendDeadlineMs);
      if (result.outcome === "applied") {
        this.#remember(topic, createdAt);
        this.onChanged();
        return { topic, created: true };
      }
      await io.clock.sleep(jitter(io.random, Math.min(200, 2 ** attempt)));
    }
    throw new BrokerError("contention", "others made topics at the same time", {
      attempts: attemptsMax,
    });
  }

  /** Changes settings. Queues are only added: order within a message group and committed offsets rest on the others. */
  async change(io: Ports, name: string, changes: Partial<TopicSettings>): Promise<Topic> {
    const readAt = io.clock.now();
    const { result } = await compareAndSet(io, keys.topic(name), (current) => {
      const before = topicOf(current, name);
      if (changes.type !== undefined && changes.type !== before.type) {
        throw invalid("type", changes.type, `${before.type}, as the topic was made`);
      }
      if (changes.queues !== undefined && changes.queues < before.queues) {
        throw invalid("queues", changes.queues, `${before.queues} or more: queues are only added`);
      }
      const after: Topic = { ...before, ...changes };
      return {
        value: encodeTopic(after),
        along: firstSegments(io, after, before.queues),
        result: after,
      };
    });
    this.#remember(result, readAt);
    this.onChanged();
    return result;
  }

  /**
   * The topic, as it was at most `topicAgeMsMax` ago. Whoever knows of an id that it has had asks for none that is older: the
   * one that is remembered may have been deleted and made again since. Throws `topic_not_found`.
   */
  async get(io: Ports, name: string, idMin = 0): Promise<Topic> {
    return (await this.find(io, name, idMin)) ?? topicOf(undefined, name);
  }

  async find(io: Ports, name: string, idMin = 0): Promise<Topic | undefined> {
    const known = this.#known.get(name);
    const readAt = io.clock.now();
    const isFresh = known !== undefined && readAt - known.readAt < limits.topicAgeMsMax;
    if (isFresh && known.topic.id >= idMin) return known.topic;
    const [item] = await io.store.get([keys.topic(name)]);
    if (item === undefined) {
      this.#known.delete(name);
      return undefined;
    }
    const topic = decodeTopic(item.value);
    this.#remember(topic, readAt);
    return topic;
  }

  /**
   * The topics whose names come behind `after`, in the order of their names' bytes, and the names of those whose records
   * are damaged. `next`: where the next page begins.
   */
  async list(
    io: Ports,
    { after, limit }: { readonly after: string | undefined; readonly limit: number },
  ): Promise<{
    readonly topics: Topic[];
    readonly damaged: string[];
    readonly next: string | undefined;
  }> {
    // The lowest name above another is that one with a zero byte behind it. Topics of the system begin with %.
    const from = utf8(after === undefined ? "&" : `${after}\0`);
    const page = await io.store.scan({ partition: partitions.topics, limit, from });
    const topics: Topic[] = [];
    const damaged: string[] = [];
    for (const { key, value } of page.items) {
      try {
        topics.push(decodeTopic(value));
      } catch (error) {
        if (!(error instanceof Damaged)) throw error;
        damaged.push(decoder.decode(key.sort));
      }
    }
    const last = page.items.at(-1);
    const next = page.more && last !== undefined ? decoder.decode(last.key.sort) : undefined;
    return { topics, damaged, next };
  }

  /** Takes the topic away at once and leaves the work of removing all that belongs to it. */
  async delete(
    io: Ports,
    name: string,
  ): Promise<{ readonly topic: Topic; readonly restDueAt: number }> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const [item] = await io.store.get([keys.topic(name)]);
      const topic = topicOf(item, name);
      assert(item !== undefined, "topicOf throws where there is none");
      const now = io.clock.now();
      const rest = deletionOf(topic, now);
      const result = await commitUntilDecided(
        io,
        [
          putWork(io, rest),
          { kind: "delete", key: keys.topic(name), expect: { version: item.version } },
        ],
        now + limits.appendDeadlineMs,
      );
      if (result.outcome === "applied") {
        this.#known.delete(name);
        this.onChanged();
        return { topic, restDueAt: rest.dueAt };
      }
    }
    throw new BrokerError("contention", "the topic was changed at the same time", {
      attempts: attemptsMax,
    });
  }

  /** What was read is as old as the read, however long the answer took, and does not replace what was read later. */
  #remember(topic: Topic, readAt: number): void {
    const known = this.#known.get(topic.name);
    if (known === undefined || known.readAt <= readAt)
      this.#known.set(topic.name, { topic, readAt });
  }
}

function nextId(lastId: Item | undefined): number {
  return lastId === undefined ? 1 : decodeRecord<{ id: number }>("topic id", lastId.value).id + 1;
}

/** Rule 9 of the log: the first directory entry of a queue is made with the queue. */
function firstSegments(io: Ports, topic: Topic, fromQueue: number): Write[] {
  const value = encodeSegment(firstSegment);
  const added = Array.from({ length: topic.queues - fromQueue }, (_, index) => fromQueue + index);
  return added.map((queue) => ({
    kind: "put",
    key: keys.segment({ topicId: topic.id, queue }, 0),
    value,
    version: newVersion(io.random),
    expect: "absent",
  }));
}

function topicOf(item: Item | undefined, name: string): Topic {
  if (item === undefined)
    throw new BrokerError("topic_not_found", `there is no topic ${name}`, { topic: name });
  return decodeTopic(item.value);
}

function sameOrRefused(topic: Topic, wanted: Partial<TopicSettings>): Topic {
  const { queues, type, retentionMs, writable, shared } = topic;
  const current: TopicSettings = { queues, type, retentionMs, writable, shared };
  for (const [field, value] of Object.entries(wanted)) {
    if (value !== undefined && value !== current[field as keyof TopicSettings]) {
      throw new BrokerError("already_exists", `the topic exists with another value of ${field}`, {
        field,
        current,
      });
    }
  }
  return topic;
}

/** What remains of a topic may be removed when no append can be on its way: whoever remembers it has forgotten it, and his deadline is over. */
function deletionOf(topic: Topic, now: number): DueWork {
  const { id: topicId, name, queues } = topic;
  return {
    dueAt: now + limits.topicAgeMsMax + 2 * limits.appendDeadlineMs,
    work: { kind: "delete-topic", topicId, name, queues, round: 1 },
  };
}
