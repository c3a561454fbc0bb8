import { type CallOptions, Connection } from "./connection.ts";
import { type ClientOptions, misuse } from "./options.ts";
import { inTurns, readableBrokers } from "./receive.ts";
import { ReceivedMessage, type ToldMessage } from "./received-message.ts";
import type { Broker } from "./routes.ts";
import { isTassoError, TassoError } from "./tasso-error.ts";

export interface PullConsumerOptions extends ClientOptions {
  /** Whose offsets are committed; needed to subscribe, and to commit. */
  readonly group?: string;
  /** Names this member of the group. @default drawn */
  readonly clientId?: string;
  /** What is polled is committed with the next poll, or when it is closed. @default true */
  readonly autoCommit?: boolean;
}

/** One queue of a topic, and the broker where there are several. */
export interface QueuePlace {
  readonly topic: string;
  readonly queue: number;
  readonly broker?: string;
}

export interface PollOptions extends CallOptions {
  /** @default 32 */
  readonly max?: number;
  readonly maxBytes?: number;
  /** So long it waits for the first one (ms), up to 20000. @default 0 */
  readonly waitMs?: number;
}

type Next = Record<string, Record<string, number>>;

interface Turn {
  readonly generation: number;
  readonly messages: readonly ToldMessage[];
  readonly next: Next;
}

interface Assigned {
  readonly place: Required<QueuePlace>;
  position: number;
  paused: boolean;
}

/** What a member knows of a broker that it polls. */
interface Membership {
  readonly broker: Broker;
  readonly topics: readonly string[];
  generation: number | undefined;
  /** What the messages of the last polls end at: to be committed. */
  next: Next | undefined;
  heardAt: number;
}

const heartbeatMs = 5_000;
const iterateWaitMs = 5_000;

/**
 * Pulls messages of whole queues, whose offsets are one number each. Either as a member of a group (`subscribe`), which shares
 * the queues among its members and keeps the offsets; or queue by queue (`assign`), from wherever the caller says.
 */
export class PullConsumer implements AsyncDisposable {
  readonly #connection: Connection;
  readonly #options: PullConsumerOptions;
  readonly #clientId: string;
  readonly #end = new AbortController();
  #topics: readonly string[] = [];
  readonly #memberships = new Map<string, Membership>();
  #assigned: Assigned[] = [];
  #turn = 0;
  #beating: Promise<void> | undefined;

  constructor(options: PullConsumerOptions) {
    this.#connection = new Connection(options);
    this.#options = options;
    const { random } = this.#connection.settings;
    this.#clientId =
      options.clientId ?? `c-${[...random.bytes(8)].map((byte) => byte.toString(36)).join("")}`;
  }

  /** Joins the group with its first poll. Its queues are a share of those of the topics. */
  subscribe(...topics: readonly string[]): void {
    this.#expectGroup();
    if (topics.length === 0) throw misuse("topics", 0, "at least one topic");
    if (this.#assigned.length > 0)
      throw misuse("topics", topics, "absent once queues are assigned");
    this.#topics = topics;
  }

  /** Pulls from these queues, from an offset or from where they begin or end; without one from where the group is, else the beginning. */
  async assign(
    places: readonly (QueuePlace & { readonly offset?: number | "earliest" | "latest" })[],
  ): Promise<void> {
    if (this.#topics.length > 0)
      throw misuse("places", "given", "absent once topics are subscribed");
    this.#assigned = await Promise.all(
      places.map(async ({ offset, ...given }) => {
        const place = await this.#placeOf(given);
        return { place, position: await this.#positionOf(place, offset), paused: false };
      }),
    );
  }

  /** The next messages; none where there is none within `waitMs`. What was polled before counts as consumed by that. */
  async poll(options: PollOptions = {}): Promise<ReceivedMessage[]> {
    this.#expectOpen();
    if (this.#topics.length > 0) return await this.#pollGroup(options);
    if (this.#assigned.length > 0) return await this.#pollAssigned(options);
    throw misuse("topics", "none", "subscribed, or queues assigned, before a poll");
  }

  /** Messages without end, until the consumer is closed or the loop is left. One counts as consumed when the next is asked for. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ReceivedMessage, void, undefined> {
    while (!this.#end.signal.aborted) {
      try {
        yield* await this.poll({ waitMs: iterateWaitMs, signal: this.#end.signal });
      } catch (error) {
        if (!this.#end.signal.aborted) throw error;
      }
    }
  }

  /** The next pull of an assigned queue begins there. */
  async seek(
    place: QueuePlace,
    to: number | "earliest" | "latest" | { readonly at: number | Date },
  ) {
    const assigned = this.#find(place);
    if (typeof to !== "object") {
      assigned.position = await this.#positionOf(assigned.place, to);
      return;
    }
    const { topic, queue } = assigned.place;
    const path = `/v1/topics/${topic}/queues/${queue}/offset?at=${Number(to.at)}`;
    const { offset } = await this.#get<{ offset: number }>(assigned.place, path);
    assigned.position = offset;
  }

  /** Not pulled until it is resumed. */
  pause(place: QueuePlace): void {
    this.#find(place).paused = true;
  }

  resume(place: QueuePlace): void {
    this.#find(place).paused = false;
  }

  /** The offset that an assigned queue is pulled from next. */
  position(place: QueuePlace): number {
    return this.#find(place).position;
  }

  /** Stores that everything polled so far is consumed. */
  async commit(options: CallOptions = {}): Promise<void> {
    const group = this.#expectGroup();
    const work = [...this.#memberships.values()].map(async (member) => {
      const { next, generation, broker } = member;
      if (next === undefined || generation === undefined) return;
      for (const [topic, offsets] of Object.entries(next)) {
        const json = { offsets, clientId: this.#clientId, generation };
        await this.#put(broker, group, topic, json, options);
      }
      member.next = undefined;
    });
    const byHand = this.#assigned.map(({ place: { topic, queue, broker }, position }) =>
      this.#put(
        this.#connection.routes.brokerOf({ topic, broker }),
        group,
        topic,
        { offsets: { [queue]: position } },
        options,
      ),
    );
    await Promise.all([...work, ...byHand]);
  }

  /** Commits what was polled, unless it was made not to, and leaves the group, so that others get its queues at once. */
  async close(): Promise<void> {
    if (this.#end.signal.aborted) return;
    const { group, autoCommit = true } = this.#options;
    this.#end.abort();
    await this.#beating;
    if (group === undefined) return;
    try {
      if (autoCommit) await this.commit();
    } catch (error) {
      // Its queues are others' by now, who begin where it committed last.
      if (!isTassoError(error) || error.code !== "generation_stale") throw error;
    }
    const leaving = [...this.#memberships.values()].map(({ broker }) =>
      this.#connection.request(broker, {
        method: "POST",
        path: `/v1/groups/${encodeURIComponent(group)}/leave`,
        json: { clientId: this.#clientId },
      }),
    );
    await Promise.allSettled(leaving);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #pollGroup(options: PollOptions): Promise<ReceivedMessage[]> {
    const members = await this.#members(options);
    const brokers = members.map(({ broker }) => broker);
    const messages = await inTurns(
      this.#connection,
      brokers,
      { start: this.#turn++, waitMs: options.waitMs ?? 0 },
      (broker, waitMs) => {
        const member = members.find((one) => one.broker === broker) as Membership;
        return this.#pollMember(member, { ...options, waitMs });
      },
      ({ length }) => length === 0,
    );
    this.#beating ??= this.#beat();
    return messages ?? [];
  }

  async #pollMember(member: Membership, options: PollOptions): Promise<ReceivedMessage[]> {
    const group = this.#expectGroup();
    const { autoCommit = true } = this.#options;
    const { max, maxBytes, waitMs = 0, signal, timeoutMs } = options;
    const { broker, topics, generation, next } = member;
    const commit = autoCommit && next !== undefined ? { commit: next } : {};
    const known = generation === undefined ? {} : { generation };
    try {
      const told = await this.#connection.traced("poll", { group, topics }, () =>
        this.#connection.request<Turn>(broker, {
          method: "POST",
          path: `/v1/groups/${encodeURIComponent(group)}/poll`,
          json: { clientId: this.#clientId, topics, max, maxBytes, waitMs, ...known, ...commit },
          waitMs,
          signal,
          timeoutMs,
        }),
      );
      member.generation = told.generation;
      member.next = autoCommit ? told.next : mergedNext(next, told.next);
      member.heardAt = this.#connection.settings.clock.now();
      return told.messages.map((message) => new ReceivedMessage(message, broker.name));
    } catch (error) {
      // Its queues are others' by now: what was not committed comes to them. It begins anew.
      const isStale = isTassoError(error) && error.code === "generation_stale";
      if (!isStale || generation === undefined) throw error;
      member.generation = undefined;
      member.next = undefined;
      return await this.#pollMember(member, options);
    }
  }

  /** A member at each broker that has any of the topics. */
  async #members(options: CallOptions): Promise<Membership[]> {
    const { signal, timeoutMs } = options;
    const byBroker = new Map<string, { broker: Broker; topics: string[] }>();
    for (const topic of this.#topics) {
      const route = await this.#connection.route(topic, { signal, timeoutMs });
      for (const broker of readableBrokers(route)) {
        const known = byBroker.get(broker.name) ?? { broker, topics: [] };
        known.topics.push(topic);
        byBroker.set(broker.name, known);
      }
    }
    return [...byBroker].map(([name, { broker, topics }]) => {
      const known = this.#memberships.get(name);
      const member = {
        generation: undefined,
        next: undefined,
        heardAt: 0,
        ...known,
        broker,
        topics,
      };
      this.#memberships.set(name, member);
      return member;
    });
  }

  /** Stays in the group though the caller takes long between polls. */
  async #beat(): Promise<void> {
    const { clock } = this.#connection.settings;
    const { signal } = this.#end;
    const group = this.#expectGroup();
    while (!signal.aborted) {
      await clock.sleep(heartbeatMs, signal);
      for (const member of this.#memberships.values()) {
        if (signal.aborted || clock.now() - member.heardAt < heartbeatMs) continue;
        const { broker, topics } = member;
        const json = { clientId: this.#clientId, topics };
        const path = `/v1/groups/${encodeURIComponent(group)}/heartbeat`;
        try {
          await this.#connection.request(broker, { method: "POST", path, json, signal });
          member.heardAt = clock.now();
        } catch {
          // The next one, or the next poll, tells the caller what is wrong.
        }
      }
    }
  }

  async #pollAssigned(options: PollOptions): Promise<ReceivedMessage[]> {
    const { group, autoCommit = true } = this.#options;
    if (group !== undefined && autoCommit && this.#turn > 0) await this.commit(options);
    const { clock } = this.#connection.settings;
    const until = clock.now() + (options.waitMs ?? 0);
    for (let tried = 0; ; tried++) {
      const active = this.#assigned.filter(({ paused }) => !paused);
      const assigned = active[this.#turn++ % Math.max(1, active.length)];
      if (assigned === undefined) {
        await this.#connection.pause(Math.max(0, until - clock.now()), options.signal);
        return [];
      }
      const left = Math.max(0, until - clock.now());
      const waitMs = active.length === 1 ? left : tried < active.length ? 0 : Math.min(left, 1_000);
      const messages = await this.#pull(assigned, { ...options, waitMs });
      const allTried = tried + 1 >= active.length;
      if (messages.length > 0 || (allTried && clock.now() >= until)) return messages;
    }
  }

  async #pull(assigned: Assigned, options: PollOptions): Promise<ReceivedMessage[]> {
    const { topic, queue, broker: name } = assigned.place;
    const { max, maxBytes, waitMs = 0, signal, timeoutMs } = options;
    const given = { offset: assigned.position, max, maxBytes, waitMs };
    const query = Object.entries(given).filter(([, value]) => value !== undefined);
    const path = `/v1/topics/${topic}/queues/${queue}/messages?${query.map((pair) => pair.join("=")).join("&")}`;
    const broker = this.#connection.routes.brokerOf({ topic, broker: name });
    const told = await this.#connection.traced("pull", { topic, queue }, () =>
      this.#connection.request<{ messages: ToldMessage[]; nextOffset: number }>(broker, {
        method: "GET",
        path,
        waitMs,
        signal,
        timeoutMs,
      }),
    );
    assigned.position = told.nextOffset;
    return told.messages.map((message) => new ReceivedMessage(message, name));
  }

  async #placeOf({ topic, queue, broker }: QueuePlace): Promise<Required<QueuePlace>> {
    const { queues } = await this.#connection.route(topic);
    const found = queues.find(
      (one) => one.queue === queue && one.broker === (broker ?? one.broker),
    );
    if (found === undefined) throw misuse("queue", queue, `a queue of ${topic}`);
    return { topic, queue, broker: found.broker };
  }

  async #positionOf(
    place: Required<QueuePlace>,
    wanted: number | "earliest" | "latest" | undefined,
  ): Promise<number> {
    if (typeof wanted === "number") return wanted;
    const { topic, queue } = place;
    const { group } = this.#options;
    if (wanted === undefined && group !== undefined) {
      const path = `/v1/groups/${encodeURIComponent(group)}/offsets/${topic}`;
      const { offsets } = await this.#get<{ offsets: Record<string, number> }>(place, path);
      const committed = offsets[queue];
      if (committed !== undefined) return committed;
    }
    const { queues } = await this.#get<{ queues: { queue: number; min: number; max: number }[] }>(
      place,
      `/v1/topics/${topic}`,
    );
    const ends = queues.find((one) => one.queue === queue) ?? { min: 0, max: 0 };
    return wanted === "latest" ? ends.max : ends.min;
  }

  #get<T>({ topic, broker }: Required<QueuePlace>, path: string): Promise<T> {
    const from = this.#connection.routes.brokerOf({ topic, broker });
    return this.#connection.request<T>(from, { method: "GET", path });
  }

  #put(broker: Broker, group: string, topic: string, json: object, options: CallOptions) {
    const { signal, timeoutMs } = options;
    const path = `/v1/groups/${encodeURIComponent(group)}/offsets/${topic}`;
    return this.#connection.request(broker, { method: "PUT", path, json, signal, timeoutMs });
  }

  #find({ topic, queue, broker }: QueuePlace): Assigned {
    const found = this.#assigned.find(
      ({ place }) =>
        place.topic === topic && place.queue === queue && place.broker === (broker ?? place.broker),
    );
    if (found === undefined) throw misuse("queue", queue, "one that was assigned");
    return found;
  }

  #expectGroup(): string {
    const { group } = this.#options;
    if (group === undefined) throw misuse("group", group, "given, to subscribe or to commit");
    return group;
  }

  #expectOpen(): void {
    if (this.#end.signal.aborted) throw new TassoError("closed", "the consumer was closed");
  }
}

function mergedNext(before: Next | undefined, now: Next): Next {
  const merged: Next = { ...before };
  for (const [topic, offsets] of Object.entries(now))
    merged[topic] = { ...merged[topic], ...offsets };
  return merged;
}
