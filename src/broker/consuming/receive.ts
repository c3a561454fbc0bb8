import { invalid } from "../errors.ts";
import type { Log } from "../log/log.ts";
import { Damaged } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import { type QueueId, retryPlace } from "../schema.ts";
import type { Timers } from "../timers/timers.ts";
import type { Topic } from "../topics/topic.ts";
import type { Topics } from "../topics/topics.ts";
import {
  attemptKeyOf,
  firstPlace,
  type GivenOut,
  giveOut,
  queueAt,
  type Received,
  type Wanted,
} from "./give-out.ts";
import type { Groups, Subscription } from "./groups.ts";
import type { QueueState } from "./queue-state.ts";
import type { QueueStates } from "./queue-states.ts";
import { readMessagesAt } from "./read-messages.ts";

export interface ConsumingParts {
  readonly log: Log;
  readonly topics: Topics;
  readonly timers: Timers;
  readonly groups: Groups;
  readonly states: QueueStates;
}

export interface ReceiveRequest {
  readonly group: string;
  readonly topic: string;
  readonly max: number;
  readonly bytesMax: number;
  readonly invisibleMs: number;
  readonly waitMs: number;
  /** Repeated under it, the request is answered with the same deliveries, as long as they are invisible. */
  readonly attemptId?: string | undefined;
  readonly filter?: string | undefined;
}

export interface ReceiveAnswer {
  readonly messages: readonly Received[];
  /** Nothing will come sooner (ms). */
  readonly nextPollAfterMs: number | undefined;
}

/** Queues that are known to have something are taken first; so often all are looked at (ms). */
const lookEveryMs = 100;
const pausedPollMs = 1_000;

/** What a look at all queues of a subscription showed. */
interface Look {
  readonly places: readonly number[];
  /** When something becomes visible that is not now (ms). */
  readonly nextAt: number | undefined;
}

/** Gives messages to receivers, from whichever queue has some. What is remembered only says where to look first. */
export class Receiving {
  readonly #parts: ConsumingParts;
  /** By consumer: places that had more when they were last met, and when all were looked at. */
  readonly #hints = new Map<string, { readonly places: Set<number>; lookedAt: number }>();

  constructor(parts: ConsumingParts) {
    this.#parts = parts;
  }

  /** Answers with at least one message if there is one, waiting up to `waitMs` for it. */
  async receive(io: Ports, request: ReceiveRequest): Promise<ReceiveAnswer> {
    const { groups, topics } = this.#parts;
    const { group, filter } = request;
    const topic = await topics.get(io, request.topic);
    const subscription = await groups.subscribe(io, { group, topic, filter });
    expectReceivable(subscription);
    const attemptKey =
      request.attemptId === undefined ? undefined : attemptKeyOf(request.attemptId);
    const wanted: Wanted = { ...request, attemptKey };
    if (attemptKey !== undefined) {
      const messages = await this.#givenBefore(io, subscription, attemptKey);
      if (messages.length > 0) return { messages, nextPollAfterMs: undefined };
    }
    return await this.#receiveUntil(io, subscription, wanted, io.clock.now() + request.waitMs);
  }

  async #receiveUntil(
    io: Ports,
    first: Subscription,
    wanted: Wanted,
    until: number,
  ): Promise<ReceiveAnswer> {
    const { log, groups, topics } = this.#parts;
    let subscription = first;
    for (;;) {
      const watch = log.arrivals.watch(await this.#queuesOf(io, subscription));
      try {
        const { paused } = subscription.group;
        const { messages, nextAt } = paused
          ? { messages: [], nextAt: undefined }
          : await this.#receiveOnce(io, subscription, wanted);
        const now = io.clock.now();
        const left = until - now;
        if (messages.length > 0) return { messages, nextPollAfterMs: undefined };
        if (left <= 0 || log.arrivals.closed) {
          const nextPollAfterMs = paused ? pausedPollMs : nextAt && Math.max(0, nextAt - now);
          return { messages, nextPollAfterMs };
        }
        const pauseMs = Math.min(left, log.settings.pollMs, (nextAt ?? until) - now);
        await watch.wait(io.clock, Math.max(1, pauseMs));
      } finally {
        watch.end();
      }
      // It may have been changed, paused or deleted meanwhile.
      const topic = await topics.get(io, subscription.topic.name);
      subscription = await groups.subscribe(io, { group: subscription.group.name, topic });
    }
  }

  /** Takes from one queue after the other until there is enough. */
  async #receiveOnce(
    io: Ports,
    subscription: Subscription,
    wanted: Wanted,
  ): Promise<{ readonly messages: readonly Received[]; readonly nextAt: number | undefined }> {
    const hints = this.#hintsOf(subscription);
    let nextAt: number | undefined;
    let looked = false;
    const messages: Received[] = [];
    let damaged: Damaged | undefined;
    for (;;) {
      if (hints.places.size === 0 || io.clock.now() - hints.lookedAt >= lookEveryMs) {
        if (looked) break;
        hints.lookedAt = io.clock.now();
        const look = await this.#look(io, subscription);
        looked = true;
        ({ nextAt } = look);
        for (const place of look.places) hints.places.add(place);
      }
      for (const place of this.#inTurn(io, subscription, [...hints.places])) {
        if (messages.length >= wanted.max) break;
        const bytes = messages.reduce((sum, { stored }) => sum + stored.message.body.length, 0);
        if (messages.length > 0 && bytes >= wanted.bytesMax) break;
        const rest = {
          ...wanted,
          max: wanted.max - messages.length,
          bytesMax: wanted.bytesMax - bytes,
        };
        try {
          const given = await this.#giveOut(io, subscription, place, rest);
          messages.push(...given.received);
          if (!given.more) hints.places.delete(place);
        } catch (error) {
          // What was given out already has to reach its receiver; others must not wait behind what is damaged.
          if (messages.length === 0 && !(error instanceof Damaged)) throw error;
          if (error instanceof Damaged) damaged = error;
          hints.places.delete(place);
        }
      }
      if (messages.length > 0 || looked) break;
    }
    if (messages.length === 0 && damaged !== undefined) throw damaged;
    return { messages, nextAt };
  }

  /** From any of them on, so that none is preferred; but those that others are busy with last. */
  #inTurn(io: Ports, { consumer }: Subscription, places: readonly number[]): number[] {
    const [start = 0] = io.random.bytes(1);
    const turned = places.map((_, index) => places[(start + index) % places.length] ?? 0);
    const busy = turned.filter((place) => this.#parts.states.isBusy(consumer, place));
    if (busy.length === 0) return turned;
    return [...turned.filter((place) => !busy.includes(place)), ...busy];
  }

  async #giveOut(
    io: Ports,
    subscription: Subscription,
    place: number,
    wanted: Wanted,
  ): Promise<GivenOut> {
    const queue = await queueAt(io, this.#parts, subscription, place);
    if (queue === undefined) return { received: [], more: false };
    const at = { place, queue };
    return await this.#parts.states.change(io, subscription.consumer, place, (draft) =>
      giveOut(io, this.#parts, subscription, at, draft, wanted),
    );
  }

  /** All queues and what is to be consumed again, by two reads: the states of all, and what lies where each has come to. */
  async #look(io: Ports, subscription: Subscription): Promise<Look> {
    const { states, log } = this.#parts;
    const found = await states.scan(io, subscription.consumer);
    const now = io.clock.now();
    const places: number[] = [];
    const asked: { readonly place: number; readonly queue: QueueId }[] = [];
    let nextAt: number | undefined;
    for (const place of placesOf(subscription.topic)) {
      const state = found.get(place);
      if (state !== undefined) {
        const soonest = Math.min(...state.deliveries.map(({ until }) => until));
        if (soonest <= now || hasFree(state, now)) places.push(place);
        const later = state.deliveries.map(({ until }) => until).filter((until) => until > now);
        if (later.length > 0) nextAt = Math.min(nextAt ?? Number.MAX_SAFE_INTEGER, ...later);
        if (places.at(-1) === place) continue;
      }
      const queue = await queueAt(io, this.#parts, subscription, place);
      if (queue !== undefined) asked.push({ place, queue });
    }
    const held = await log.mayHold(
      io,
      asked.map(({ place, queue }) => {
        const { next: offset, nextEndsRow: endsRow } = found.get(place) ?? nothingConsumed;
        return { queue, offset, endsRow };
      }),
    );
    asked.forEach(({ place }, index) => {
      if (held[index]) places.push(place);
    });
    return { places, nextAt };
  }

  /** What a request with this key was given and still holds, by its places and offsets. */
  async #givenBefore(
    io: Ports,
    subscription: Subscription,
    attemptKey: string,
  ): Promise<readonly Received[]> {
    const { states, log } = this.#parts;
    const now = io.clock.now();
    const received: Received[] = [];
    for (const [place, state] of await states.scan(io, subscription.consumer)) {
      const own = state.deliveries.filter(
        (each) => each.attemptKey === attemptKey && each.held && each.until > now,
      );
      if (own.length === 0) continue;
      const queue = await queueAt(io, this.#parts, subscription, place);
      if (queue === undefined) continue;
      const all = own.flatMap((delivery) =>
        delivery.messages.map(({ offset }) => ({ offset, delivery })),
      );
      all.sort((a, b) => a.offset - b.offset);
      const stored = await readMessagesAt(
        io,
        log,
        queue,
        all.map(({ offset }) => offset),
      );
      for (const { offset, delivery } of all) {
        const message = stored.get(offset);
        if (message === undefined) continue;
        const { origin, message: bare } = firstPlace(message, place, queue);
        const { groupId, topicId } = subscription.consumer;
        received.push({
          topic: subscription.topic.name,
          queue: origin.queue,
          stored: { ...message, message: bare, offset: origin.offset, storedAt: origin.storedAt },
          receipt: { groupId, topicId, place, offset, stamp: delivery.stamp },
          deliveryAttempt: delivery.attempt,
          invisibleUntil: delivery.until,
        });
      }
    }
    return received;
  }

  async #queuesOf(io: Ports, subscription: Subscription): Promise<QueueId[]> {
    const queues: QueueId[] = [];
    for (const place of placesOf(subscription.topic)) {
      const queue = await queueAt(io, this.#parts, subscription, place);
      if (queue !== undefined) queues.push(queue);
    }
    return queues;
  }

  #hintsOf({ consumer: { groupId, topicId } }: Subscription) {
    const name = `${groupId}/${topicId}`;
    const known = this.#hints.get(name);
    if (known !== undefined) return known;
    if (this.#hints.size >= hintsKept) this.#hints.clear();
    const hints = { places: new Set<number>(), lookedAt: 0 };
    this.#hints.set(name, hints);
    return hints;
  }
}

const hintsKept = 10_000;
const nothingConsumed = { next: 0, nextEndsRow: true } as const;

/** The queues of the topic, and the one in which its messages come again. */
function placesOf({ queues }: Topic): number[] {
  return [...Array.from({ length: queues }, (_, queue) => queue), retryPlace];
}

/** Whether something was held back whose message group is free now. */
function hasFree({ heldBack, deliveries }: QueueState, now: number): boolean {
  if (heldBack.length === 0) return false;
  const blocked = new Set(
    deliveries
      .filter(({ until }) => until > now)
      .flatMap(({ messages }) => messages.map(({ hash }) => hash)),
  );
  return heldBack.some(({ hash }) => !blocked.has(hash));
}

function expectReceivable({ group }: Subscription): void {
  if (!group.broadcast) return;
  throw invalid("group", group.name, "one that does not broadcast: members of such a group poll");
}
