import { utf8 } from "../bytes.ts";
import { jitter, newVersion } from "../chance.ts";
import { compareAndSet } from "../compare-and-set.ts";
import { commitUntilDecided } from "../decided-commit.ts";
import { BrokerError, invalid } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Log } from "../log/log.ts";
import type { Ports } from "../ports/ports.ts";
import type { Item, Write } from "../ports/store.ts";
import { decodeRecord, encodeRecord } from "../record.ts";
import { type ConsumerId, keys, partitions } from "../schema.ts";
import type { Topic } from "../topics/topic.ts";
import type { Topics } from "../topics/topics.ts";
import { type DueWork, putWork } from "../work/work.ts";
import { filterConflict, parseFilter } from "./filter.ts";
import {
  decodeGroup,
  defaultGroupSettings,
  encodeGroup,
  type Group,
  type GroupSettings,
  type GroupTopic,
  retryTopicOf,
} from "./group.ts";
import { groupDeletionOf } from "./group-deletion.ts";
import { encodeState, newState } from "./queue-state.ts";

const attemptsMax = 20;
const decoder = new TextDecoder();

/** A group and its place in a topic that it consumes. */
export interface Subscription {
  readonly group: Group;
  readonly topic: Topic;
  /** The topic's place in the group. */
  readonly of: GroupTopic;
  readonly consumer: ConsumerId;
}

export interface Subscribing {
  readonly group: string;
  readonly topic: Topic;
  /** Whose progress it is, where the group broadcasts. */
  readonly clientId?: string | undefined;
  /** What the caller takes the group's filter for this topic to be. */
  readonly filter?: string | undefined;
}

/** The consumer groups of a cell. What is remembered of one is used for `topicAgeMsMax`; a change made here is seen here at once. */
export class Groups {
  readonly #log: Log;
  readonly #topics: Topics;
  readonly #known = new Map<string, { readonly group: Group; readonly readAt: number }>();
  /** Members of broadcasting groups whose states this process has seen to. */
  readonly #entered = new Set<string>();

  constructor(log: Log, topics: Topics) {
    this.#log = log;
    this.#topics = topics;
  }

  /** The group, as it was at most `topicAgeMsMax` ago. Throws `group_not_found`. */
  async get(io: Ports, name: string): Promise<Group> {
    const known = await this.find(io, name);
    if (known !== undefined) return known;
    throw groupNotFound(name);
  }

  /** The group as it is. Throws `group_not_found`. */
  async getNow(io: Ports, name: string): Promise<Group> {
    this.#known.delete(name);
    return await this.get(io, name);
  }

  async find(io: Ports, name: string): Promise<Group | undefined> {
    const known = this.#known.get(name);
    const readAt = io.clock.now();
    if (known !== undefined && readAt - known.readAt < limits.topicAgeMsMax) return known.group;
    const [item] = await io.store.get([keys.group(name)]);
    if (item === undefined) this.#known.delete(name);
    return item && this.#remember(decodeGroup(item.value), readAt);
  }

  /** The group, if it has come to the topic. Others may have entered it since the group was read, so "no" is read anew. */
  async consumerOf(io: Ports, name: string, topic: Topic): Promise<Group | undefined> {
    const consumes = (read: Group | undefined) => read?.topics[topic.name]?.id === topic.id;
    const known = await this.find(io, name);
    if (consumes(known)) return known;
    this.#known.delete(name);
    const group = await this.find(io, name);
    return consumes(group) ? group : undefined;
  }

  /** Makes a group. Absent settings take the default, or what is there. Throws `already_exists` where that differs. */
  async ensure(
    io: Ports,
    name: string,
    wanted: Partial<GroupSettings> = {},
  ): Promise<{ readonly group: Group; readonly created: boolean }> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const readAt = io.clock.now();
      const [existing, lastId] = await io.store.get([keys.group(name), keys.lastGroupId]);
      if (existing !== undefined) {
        const found = this.#remember(decodeGroup(existing.value), readAt);
        return { group: sameOrRefused(found, checked(wanted)), created: false };
      }
      const group: Group = {
        ...defaultGroupSettings,
        ...checked(wanted),
        name,
        id: lastId === undefined ? 1 : idOf(lastId) + 1,
        createdAt: readAt,
        topics: {},
      };
      const writes: Write[] = [
        {
          kind: "put",
          key: keys.group(name),
          value: encodeGroup(group),
          version: newVersion(io.random),
          expect: "absent",
        },
        {
          kind: "put",
          key: keys.lastGroupId,
          value: encodeRecord({ id: group.id }),
          version: newVersion(io.random),
          expect: lastId === undefined ? "absent" : { version: lastId.version },
        },
      ];
      const result = await commitUntilDecided(io, writes, readAt + limits.appendDeadlineMs);
      if (result.outcome === "applied")
        return { group: this.#remember(group, readAt), created: true };
      await io.clock.sleep(jitter(io.random, Math.min(200, 2 ** attempt)));
    }
    throw new BrokerError("contention", "others made groups at the same time", {
      attempts: attemptsMax,
    });
  }

  /** Changes settings; filters of the topics that are given. What deliveries under way rest on is only changed before there are any. */
  async change(io: Ports, name: string, changes: Partial<GroupSettings>): Promise<Group> {
    const wanted = checked(changes);
    const readAt = io.clock.now();
    const { result } = await compareAndSet(io, keys.group(name), (current) => {
      const before = groupOf(current, name);
      for (const field of ["orderly", "broadcast"] as const) {
        const asked = wanted[field];
        if (asked === undefined || asked === before[field]) continue;
        if (Object.keys(before.topics).length > 0)
          throw invalid(field, asked, `${before[field]}, for the group has begun to consume`);
      }
      const filters = { ...before.filters, ...wanted.filters };
      const after: Group = { ...before, ...wanted, filters };
      return { value: encodeGroup(after), result: expectConsistent(after) };
    });
    return this.#remember(result, readAt);
  }

  /** The groups whose names come behind `after`, in the order of their names' bytes. */
  async list(
    io: Ports,
    { after, limit }: { readonly after: string | undefined; readonly limit: number },
  ): Promise<{ readonly groups: Group[]; readonly next: string | undefined }> {
    // The lowest name above another is that one with a zero byte behind it.
    const from = after === undefined ? {} : { from: utf8(`${after}\0`) };
    const page = await io.store.scan({ partition: partitions.groups, limit, ...from });
    const last = page.items.at(-1);
    const next = page.more && last !== undefined ? decoder.decode(last.key.sort) : undefined;
    return { groups: page.items.map(({ value }) => decodeGroup(value)), next };
  }

  /** Takes the group away at once and leaves the work of removing all that belongs to it. */
  async delete(io: Ports, name: string): Promise<DueWork> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const [item] = await io.store.get([keys.group(name)]);
      const group = groupOf(item, name);
      const now = io.clock.now();
      const rest = groupDeletionOf(group, now);
      const expect = { version: item?.version ?? "" };
      const result = await commitUntilDecided(
        io,
        [putWork(io, rest), { kind: "delete", key: keys.group(name), expect }],
        now + limits.appendDeadlineMs,
      );
      if (result.outcome !== "applied") continue;
      this.#known.delete(name);
      return rest;
    }
    throw new BrokerError("contention", "the group was changed at the same time", {
      attempts: attemptsMax,
    });
  }

  /**
   * The group as a consumer of a topic. Makes the group where there is none; a topic that it meets for the first time is
   * entered in it, with a retry queue, and the place where it begins is fixed. Throws `filter_conflict` where the caller
   * takes its filter to be another.
   */
  async subscribe(io: Ports, asked: Subscribing): Promise<Subscription> {
    const { topic } = asked;
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const group =
        (await this.find(io, asked.group)) ?? (await this.ensure(io, asked.group)).group;
      const of = group.topics[topic.name];
      if (of?.id !== topic.id) {
        await this.#enter(io, asked);
        continue;
      }
      expectFilter(group, asked);
      const member = memberOf(group, asked.clientId);
      const consumer = { groupId: group.id, topicId: topic.id, member };
      if (group.broadcast) await this.#enterMember(io, group, topic, consumer);
      return { group, topic, of, consumer };
    }
    throw new BrokerError("contention", "the group or its topic was changed all the time", {
      attempts: attemptsMax,
    });
  }

  /** Enters a topic into its group, in one commit with the states of its queues where these do not begin at the first message. */
  async #enter(io: Ports, { group: name, topic, filter }: Subscribing): Promise<void> {
    const readAt = io.clock.now();
    const [item] = await io.store.get([keys.group(name)]);
    const group = groupOf(item, name);
    const of = group.topics[topic.name];
    if (item === undefined || of?.id === topic.id) {
      this.#remember(group, readAt);
      return;
    }
    const count = Object.keys(group.topics).length;
    if (of === undefined && count >= limits.topicsPerGroupMax)
      throw invalid("topic", topic.name, `one of the ${count} that the group consumes already`);
    const retryQueue = of?.retryQueue ?? count;
    await this.#ensureRetryQueue(io, name, retryQueue);
    const parsed = filter === undefined ? undefined : parseFilter(filter, "filter").text;
    const hasFilter = group.filters[topic.name] !== undefined;
    const entered: Group = {
      ...group,
      filters:
        parsed === undefined || hasFilter
          ? group.filters
          : { ...group.filters, [topic.name]: parsed },
      topics: { ...group.topics, [topic.name]: { id: topic.id, retryQueue } },
    };
    const consumer = { groupId: group.id, topicId: topic.id, member: "" };
    const result = await commitUntilDecided(
      io,
      [
        {
          kind: "put",
          key: keys.group(name),
          value: encodeGroup(entered),
          version: newVersion(io.random),
          expect: { version: item.version },
        },
        consumerPut(io, consumer),
        ...(group.broadcast ? [] : await this.#firstStates(io, group, topic, consumer)),
      ],
      readAt + limits.appendDeadlineMs,
    );
    if (result.outcome === "applied") this.#remember(entered, readAt);
    else this.#known.delete(name);
  }

  /** A member of a broadcasting group has offsets of its own, which begin where the group begins when it comes first. */
  async #enterMember(io: Ports, group: Group, topic: Topic, consumer: ConsumerId): Promise<void> {
    const id = `${consumer.groupId}/${consumer.topicId}/${consumer.member}`;
    if (this.#entered.has(id)) return;
    const [entry] = await io.store.get([keys.consumerOf(consumer)]);
    if (entry === undefined) {
      const states = await this.#firstStates(io, group, topic, consumer);
      const put = { ...consumerPut(io, consumer), expect: "absent" } as const;
      const until = io.clock.now() + limits.appendDeadlineMs;
      await commitUntilDecided(io, [put, ...states], until);
    }
    this.#entered.add(id);
  }

  /** None where a group begins at the first message, for that is what no state means. */
  async #firstStates(
    io: Ports,
    { from }: Group,
    topic: Topic,
    consumer: ConsumerId,
  ): Promise<Write[]> {
    if (from === "earliest") return [];
    const queues = Array.from({ length: topic.queues }, (_, queue) => queue);
    return await Promise.all(
      queues.map(async (queue): Promise<Write> => {
        const id = { topicId: topic.id, queue };
        const next =
          from === "latest"
            ? (await this.#log.range(io, id)).max
            : await this.#log.offsetAt(io, id, from.at);
        return {
          kind: "put",
          key: keys.queueState(consumer, queue),
          value: encodeState(newState(next)),
          version: newVersion(io.random),
          expect: "absent",
        };
      }),
    );
  }

  /** The queue is there before the group says so: what is to be consumed again must find it. */
  async #ensureRetryQueue(io: Ports, group: string, queue: number): Promise<void> {
    const name = retryTopicOf(group);
    const { queues } = (await this.#topics.ensure(io, name, {}, { queues: queue + 1 })).topic;
    if (queues <= queue) await this.#topics.change(io, name, { queues: queue + 1 });
  }

  /** What was read is as old as the read, however long the answer took, and does not replace what was read later. */
  #remember(group: Group, readAt: number): Group {
    const known = this.#known.get(group.name);
    if (known === undefined || known.readAt <= readAt)
      this.#known.set(group.name, { group, readAt });
    return group;
  }
}

export function groupNotFound(group: string): BrokerError {
  return new BrokerError("group_not_found", `there is no group ${group}`, { group });
}

function groupOf(item: Item | undefined, name: string): Group {
  if (item === undefined) throw groupNotFound(name);
  return decodeGroup(item.value);
}

function idOf({ value }: Item): number {
  return decodeRecord<{ id: number }>("group id", value).id;
}

function consumerPut(io: Ports, consumer: ConsumerId) {
  const [key, value] = [keys.consumerOf(consumer), Uint8Array.of(0)];
  return { kind: "put", key, value, version: newVersion(io.random) } as const;
}

function memberOf({ broadcast, name }: Group, clientId: string | undefined): string {
  if (!broadcast) return "";
  if (clientId === undefined)
    throw invalid(
      "clientId",
      "absent",
      `given, for every member of group ${name} has its own offsets`,
    );
  return clientId;
}

function expectFilter(group: Group, { topic, filter }: Subscribing): void {
  if (filter === undefined) return;
  const current = group.filters[topic.name] ?? "*";
  if (parseFilter(filter, "filter").text !== current)
    throw filterConflict(topic.name, filter, current);
}

/** Settings with filters in their one form. Throws `invalid`. */
function checked(wanted: Partial<GroupSettings>): Partial<GroupSettings> {
  if (wanted.filters === undefined) return wanted;
  const filters = Object.entries(wanted.filters).map(([topic, filter]) => [
    topic,
    parseFilter(filter, `filters.${topic}`).text,
  ]);
  return { ...wanted, filters: Object.fromEntries(filters) };
}

function expectConsistent(group: Group): Group {
  if (group.orderly && group.broadcast)
    throw invalid(
      "broadcast",
      true,
      "false where orderly is true: nothing is retried in a broadcast",
    );
  return group;
}

function sameOrRefused(group: Group, wanted: Partial<GroupSettings>): Group {
  const current = settingsOf(group);
  for (const [field, value] of Object.entries(wanted)) {
    if (value === undefined) continue;
    if (sameText(value) === sameText(current[field as keyof GroupSettings])) continue;
    throw new BrokerError("already_exists", `the group exists with another value of ${field}`, {
      field,
      current,
    });
  }
  return group;
}

export function settingsOf(group: Group): GroupSettings {
  const { orderly, from, maxAttempts, retryMs, filters, broadcast, maxInFlight, paused } = group;
  return { orderly, from, maxAttempts, retryMs, filters, broadcast, maxInFlight, paused };
}

/** As a text that is equal where the values are, in whatever order their fields come. */
function sameText(value: unknown): string {
  const isRecord = typeof value === "object" && value !== null && !Array.isArray(value);
  return JSON.stringify(
    isRecord ? Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)) : value,
  );
}
