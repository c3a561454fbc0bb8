import { BrokerError, invalid } from "../errors.ts";
import type { Log } from "../log/log.ts";
import type { Ports } from "../ports/ports.ts";
import { storeLimits } from "../ports/store.ts";
import { type ConsumerId, consumerOfKey, keys, partitions, retryPlace } from "../schema.ts";
import { expectQueue } from "../topics/queue-choice.ts";
import type { Topic } from "../topics/topic.ts";
import type { Topics } from "../topics/topics.ts";
import type { StartPoint } from "./group.ts";
import { retryTopicOf } from "./group.ts";
import type { Groups, Subscription } from "./groups.ts";
import { committedOf, inFlightOf, newState, type QueueState } from "./queue-state.ts";
import type { QueueStates } from "./queue-states.ts";
import { commitUpTo, mayCommit, resetTo } from "./settle-state.ts";

export interface QueueLag {
  readonly queue: number;
  /** Below it everything is settled. Absent where the group never consumed: it begins where it is told to. */
  readonly committed: number | undefined;
  readonly max: number;
  /** What is not settled: it is in hand, waits to be given out again, or was not looked at yet. */
  readonly lag: number;
  /** In hand, or waiting to be given out again. */
  readonly inFlight: number;
}

export interface CommitRequest {
  readonly group: string;
  readonly topic: Topic;
  readonly offsets: ReadonlyMap<number, number>;
  readonly clientId?: string | undefined;
  /** In which that client is a member: where the queue belongs to another one meanwhile, it is refused. */
  readonly generation?: number | undefined;
}

/** Where a group is to begin anew: `offsets` by queue. */
export type ResetPoint = StartPoint | { readonly offsets: ReadonlyMap<number, number> };

export interface ResetRequest {
  readonly group: string;
  readonly topic: Topic;
  readonly to: ResetPoint;
  /** Nothing is changed unless the group is there. */
  readonly ifOffsets?: ReadonlyMap<number, number> | undefined;
  /** Tells what would be done and does nothing. */
  readonly dryRun?: boolean | undefined;
}

/** How far consumer groups are: what is committed, what lags, and the beginning anew. */
export class GroupOffsets {
  readonly #groups: Groups;
  readonly #topics: Topics;
  readonly #states: QueueStates;

  constructor(groups: Groups, topics: Topics, states: QueueStates) {
    this.#groups = groups;
    this.#topics = topics;
    this.#states = states;
  }

  /**
   * Moves offsets forward, each queue for itself. A lower one changes nothing. Answers where each is now. Throws
   * `generation_stale` where a queue belongs to a member of a later generation; the others are committed.
   */
  async commit(io: Ports, request: CommitRequest): Promise<Map<number, number>> {
    const { group, topic, offsets, generation, clientId } = request;
    for (const queue of offsets.keys()) expectQueue(topic, queue, `offsets.${queue}`);
    const { consumer } = await this.#groups.subscribe(io, { group, topic, clientId });
    const fenced: number[] = [];
    let current = 0;
    const after = await Promise.all(
      [...offsets].map(([queue, next]) =>
        this.#states.change(io, consumer, queue, (draft): [number, number] => {
          const { state } = draft;
          const isMember = clientId !== undefined && generation !== undefined;
          if (isMember && !mayCommit(state, { clientId, generation })) {
            fenced.push(queue);
            current = Math.max(current, state.generation);
          } else {
            commitUpTo(state, next);
            draft.mustExist = true;
          }
          return [queue, committedOf(state)];
        }),
      ),
    );
    if (fenced.length > 0)
      throw generationStale(
        topic,
        [...new Set(fenced)].sort((a, b) => a - b),
        current,
      );
    return new Map(after);
  }

  /** The committed offset of each queue that has one. */
  async get(
    io: Ports,
    name: string,
    topic: Topic,
    clientId?: string,
  ): Promise<Map<number, number>> {
    const consumer = await this.#consumer(io, name, topic, clientId);
    const committed = new Map<number, number>();
    if (consumer === undefined) return committed;
    for (const [place, state] of await this.#states.scan(io, consumer))
      if (place !== retryPlace) committed.set(place, committedOf(state));
    return committed;
  }

  async lag(
    io: Ports,
    log: Log,
    name: string,
    topic: Topic,
    clientId?: string,
  ): Promise<QueueLag[]> {
    const consumer = await this.#consumer(io, name, topic, clientId);
    const [states, ranges] = await Promise.all([
      consumer === undefined ? new Map<number, QueueState>() : this.#states.scan(io, consumer),
      Promise.all(queuesOf(topic).map((queue) => log.range(io, { topicId: topic.id, queue }))),
    ]);
    return ranges.map(({ min, max }, queue) => {
      const state = states.get(queue);
      const { next, heldBack } = state ?? newState(min);
      const inFlight = state === undefined ? 0 : inFlightOf(state);
      const unseen = max - Math.min(max, Math.max(next, min));
      const committed = state && committedOf(state);
      return { queue, committed, max, lag: unseen + inFlight + heldBack.length, inFlight };
    });
  }

  /** What waits to be consumed again, and of it what is in hand. */
  async retries(
    io: Ports,
    log: Log,
    name: string,
    topic: Topic,
  ): Promise<Pick<QueueLag, "lag" | "inFlight">> {
    const none = { lag: 0, inFlight: 0 };
    const consumer = await this.#consumer(io, name, topic);
    const group = consumer && (await this.#groups.find(io, name));
    const of = group?.topics[topic.name];
    const own = of && (await this.#topics.find(io, retryTopicOf(name)));
    if (consumer === undefined || own === undefined || of === undefined) return none;
    const { max } = await log.range(io, { topicId: own.id, queue: of.retryQueue });
    const state = (await this.#states.scan(io, consumer)).get(retryPlace) ?? newState(0);
    const inFlight = inFlightOf(state);
    return { lag: Math.max(0, max - state.next) + inFlight + state.heldBack.length, inFlight };
  }

  /**
   * Begins anew elsewhere: what was given out is void, its handles are stale. Throws `condition_failed` where the group is
   * not where `ifOffsets` says.
   */
  async reset(
    io: Ports,
    log: Log,
    { group, topic, to, ifOffsets, dryRun = false }: ResetRequest,
  ): Promise<{ readonly before: Map<number, number>; readonly after: Map<number, number> }> {
    const subscription = await this.#groups.subscribe(io, { group, topic, clientId: "" });
    const after = await this.#points(io, log, topic, to);
    const [before, ...others] = await this.#consumers(io, subscription);
    const found = await this.#offsetsOf(io, log, topic, before ?? subscription.consumer);
    for (const [queue, offset] of ifOffsets ?? []) {
      expectQueue(topic, queue, `ifOffsets.${queue}`);
      if (found.get(queue) !== offset) throw conditionFailed(queue, offset, found);
    }
    if (dryRun) return { before: found, after };
    for (const consumer of [before ?? subscription.consumer, ...others])
      for (const [queue, next] of after)
        await this.#states.change(io, consumer, queue, (draft) => {
          const expected = ifOffsets?.get(queue);
          if (expected !== undefined && committedOf(draft.state) !== expected)
            throw conditionFailed(queue, expected, new Map([[queue, committedOf(draft.state)]]));
          resetTo(draft.state, next);
          draft.mustExist = true;
        });
    return { before: found, after };
  }

  /** Throws `group_lags` if a group that ever consumed here has not consumed all of the topic. */
  async expectNoLag(io: Ports, log: Log, topic: Topic): Promise<void> {
    const partition = partitions.consumersOf(topic.id);
    const { items } = await io.store.scan({ partition, limit: storeLimits.scanItemsMax });
    if (items.length === 0) return;
    const names = await this.#namesById(io);
    for (const { key } of items) {
      const { groupId, member } = consumerOfKey(topic.id, key.sort);
      const group = names.get(groupId);
      if (group === undefined) continue;
      const lags = await this.lag(io, log, group, topic, member === "" ? undefined : member);
      const lagging = lags.find((each) => each.lag > 0);
      if (lagging === undefined) continue;
      const { queue, lag } = lagging;
      const message = `group ${group} has not consumed all of queue ${queue}; force=true deletes all the same`;
      throw new BrokerError("group_lags", message, { group, queue, lag });
    }
  }

  async #namesById(io: Ports): Promise<Map<number, string>> {
    const names = new Map<number, string>();
    for (let after: string | undefined; ; ) {
      const { groups, next } = await this.#groups.list(io, {
        after,
        limit: storeLimits.scanItemsMax,
      });
      for (const { id, name } of groups) names.set(id, name);
      if (next === undefined) return names;
      after = next;
    }
  }

  /** `undefined` where the group has not come to the topic yet. */
  async #consumer(
    io: Ports,
    name: string,
    topic: Topic,
    clientId?: string,
  ): Promise<ConsumerId | undefined> {
    const group = await this.#groups.consumerOf(io, name, topic);
    if (group === undefined) return undefined;
    if (group.broadcast && clientId === undefined)
      throw invalid(
        "clientId",
        "absent",
        "given, for every member of the group has its own offsets",
      );
    return {
      groupId: group.id,
      topicId: topic.id,
      member: group.broadcast ? (clientId ?? "") : "",
    };
  }

  /** The group, or each of its members where it broadcasts. */
  async #consumers(io: Ports, { group, topic, consumer }: Subscription): Promise<ConsumerId[]> {
    if (!group.broadcast) return [consumer];
    const from = keys.consumerOf({ ...consumer, member: "" });
    const { items } = await io.store.scan({
      partition: from.partition,
      from: from.sort,
      limit: storeLimits.scanItemsMax,
    });
    return items
      .map(({ key }) => consumerOfKey(topic.id, key.sort))
      .filter(({ groupId, member }) => groupId === group.id && member !== "");
  }

  async #offsetsOf(
    io: Ports,
    log: Log,
    topic: Topic,
    consumer: ConsumerId,
  ): Promise<Map<number, number>> {
    const states = await this.#states.scan(io, consumer);
    const offsets = new Map<number, number>();
    for (const queue of queuesOf(topic)) {
      const state = states.get(queue);
      const next = state && committedOf(state);
      offsets.set(queue, next ?? (await log.range(io, { topicId: topic.id, queue })).min);
    }
    return offsets;
  }

  async #points(io: Ports, log: Log, topic: Topic, to: ResetPoint): Promise<Map<number, number>> {
    const points = new Map<number, number>();
    if (typeof to === "object" && "offsets" in to) {
      for (const [queue, offset] of to.offsets) {
        expectQueue(topic, queue, `to.offsets.${queue}`);
        points.set(queue, offset);
      }
      return points;
    }
    for (const queue of queuesOf(topic)) {
      const id = { topicId: topic.id, queue };
      if (typeof to === "object") points.set(queue, await log.offsetAt(io, id, to.at));
      else {
        const { min, max } = await log.range(io, id);
        points.set(queue, to === "earliest" ? min : max);
      }
    }
    return points;
  }
}

/** Of a member whose queues went to others. */
export function generationStale(
  topic: Topic,
  queues: readonly number[],
  generation: number,
): BrokerError {
  return new BrokerError(
    "generation_stale",
    `queues of ${topic.name} belong to members of generation ${generation}; join again`,
    {
      field: "generation",
      topic: topic.name,
      queues,
      generation,
      allowed: `${generation} or later`,
    },
  );
}

function conditionFailed(
  queue: number,
  given: number,
  offsets: ReadonlyMap<number, number>,
): BrokerError {
  return new BrokerError("condition_failed", `the group is not at ${given} in queue ${queue}`, {
    field: `ifOffsets.${queue}`,
    given,
    allowed: offsets.get(queue),
    offsets: Object.fromEntries(offsets),
  });
}

function queuesOf(topic: Topic): number[] {
  return Array.from({ length: topic.queues }, (_, queue) => queue);
}
