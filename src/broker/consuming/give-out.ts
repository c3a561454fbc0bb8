import { BrokerError } from "../errors.ts";
import type { Message } from "../log/message.ts";
import type { StoredMessage } from "../log/stored-messages.ts";
import type { Ports } from "../ports/ports.ts";
import { type QueueId, retryPlace } from "../schema.ts";
import { textHash } from "../text-hash.ts";
import { type Filter, parseFilter } from "./filter.ts";
import type { Subscription } from "./groups.ts";
import {
  type Leaving,
  type LeavingParts,
  leave,
  leavingMax,
  type OriginOf,
  originOf,
} from "./leaving.ts";
import {
  type Delivery,
  decodeState,
  encodeState,
  inFlightOf,
  type OpenMessage,
  type QueueState,
  stateBytes,
} from "./queue-state.ts";
import type { Draft } from "./queue-states.ts";
import { readMessages, readMessagesAt } from "./read-messages.ts";
import type { Receipt } from "./receipt-handle.ts";
import { leaveState, takeOut } from "./settle-state.ts";

export interface Wanted {
  readonly max: number;
  readonly bytesMax: number;
  readonly invisibleMs: number;
  readonly attemptKey: string | undefined;
}

/** A message that was given to a receiver: under the name of the topic that it was sent to, wherever it lies. */
export interface Received {
  readonly topic: string;
  readonly queue: number;
  readonly stored: StoredMessage;
  readonly receipt: Receipt;
  readonly deliveryAttempt: number;
  readonly invisibleUntil: number;
}

export interface GivenOut {
  readonly received: readonly Received[];
  /** There may be more to give out at once. */
  readonly more: boolean;
}

/** New messages are given out while the state is below this, so that what is given back and what comes again finds room. */
const bytesForNew = 3_000;
const bytesForAgain = 3_700;
/** So many messages are looked at in one go before what was passed over is committed. */
const lookedAtMax = 2_048;
const heldBackMax = 256;

/** The queue of the log that a place of a subscription is. `undefined` where it is not there. */
export async function queueAt(
  io: Ports,
  { topics }: Pick<LeavingParts, "topics">,
  { topic, of, group }: Subscription,
  place: number,
): Promise<QueueId | undefined> {
  if (place !== retryPlace) return { topicId: topic.id, queue: place };
  const retry = await topics.find(io, `%RETRY%${group.name}`);
  return retry && { topicId: retry.id, queue: of.retryQueue };
}

/** Gives out what may be given out of one queue, as many as are wanted and the state has room for. */
export async function giveOut(
  io: Ports,
  parts: LeavingParts,
  subscription: Subscription,
  at: { readonly place: number; readonly queue: QueueId },
  draft: Draft,
  wanted: Wanted,
): Promise<GivenOut> {
  const before = encodeState(draft.state);
  const room = subscription.group.maxInFlight - inFlightOf(draft.state);
  // As many as fit: what is written of a delivery is known only once it is made.
  for (let { max } = wanted, newMax = Math.min(max, room); max >= 1; ) {
    const pass = new Pass(io, parts, subscription, at, draft, { ...wanted, max });
    const given = await pass.run(newMax);
    const bytes = stateBytes(draft.state);
    if (bytes <= bytesForNew || pass.stamp === undefined) return given;
    if (!pass.gaveNew && bytes <= bytesForAgain) return given;
    draft.state = decodeState(before);
    draft.along.length = 0;
    if (pass.gaveNew && pass.gaveAgain) newMax = 0;
    else max = newMax = max >> 1;
  }
  return await makeRoom(io, parts, subscription, at, draft);
}

/** One try at giving out. */
class Pass {
  readonly #io: Ports;
  readonly #parts: LeavingParts;
  readonly #subscription: Subscription;
  readonly #place: number;
  readonly #queue: QueueId;
  readonly #draft: Draft;
  readonly #wanted: Wanted;
  readonly #now: number;
  readonly #filter: Filter;
  readonly #received: Received[] = [];
  /** Message groups of which somebody holds, or waits for, a message. */
  readonly #blocked = new Set<number>();
  #bytes = 0;
  stamp: number | undefined;
  gaveNew = false;
  gaveAgain = false;

  constructor(
    io: Ports,
    parts: LeavingParts,
    subscription: Subscription,
    { place, queue }: { readonly place: number; readonly queue: QueueId },
    draft: Draft,
    wanted: Wanted,
  ) {
    this.#io = io;
    this.#parts = parts;
    this.#subscription = subscription;
    this.#place = place;
    this.#queue = queue;
    this.#draft = draft;
    this.#wanted = wanted;
    this.#now = io.clock.now();
    const { group, topic } = subscription;
    // What lies in the retry queue was wanted before.
    const text = place === retryPlace ? "*" : (group.filters[topic.name] ?? "*");
    this.#filter = parseFilter(text, "filter");
  }

  get #state(): QueueState {
    return this.#draft.state;
  }

  async run(newMax: number): Promise<GivenOut> {
    for (const { held, until, messages } of this.#state.deliveries)
      if (held && until > this.#now)
        for (const { hash } of messages) if (hash !== 0) this.#blocked.add(hash);
    const left = await this.#giveAgain();
    const more = newMax > 0 && !this.#isFull ? await this.#giveNew(newMax) : newMax > 0;
    return { received: this.#received, more: left || more };
  }

  get #isFull(): boolean {
    return this.#received.length >= this.#wanted.max || this.#bytes >= this.#wanted.bytesMax;
  }

  /** What expired, what was given back and has waited, and what was held back, in the order of the offsets. Answers whether some is left. */
  async #giveAgain(): Promise<boolean> {
    const candidates = this.#candidates();
    if (candidates.length === 0) return false;
    const { log } = this.#parts;
    const wanted = candidates.slice(0, this.#wanted.max + leavingMax);
    const stored = await readMessagesAt(
      this.#io,
      log,
      this.#queue,
      wanted.map(({ open }) => open.offset),
    );
    const dead: {
      readonly leaving: Leaving;
      readonly open: OpenMessage;
      readonly delivery: Delivery;
    }[] = [];
    const behindDead = new Set<number>();
    for (const { open, delivery } of wanted) {
      if (open.hash !== 0 && behindDead.has(open.hash)) continue;
      const message = stored.get(open.offset);
      if (message === undefined) {
        // Trimmed: nobody can be given it any more.
        this.#takeFromState(open, delivery);
        continue;
      }
      const attempt = (delivery?.attempt ?? 0) + 1;
      if (delivery !== undefined && attempt > this.#subscription.group.maxAttempts) {
        if (dead.length < leavingMax)
          dead.push({ leaving: this.#deadLetter(message, delivery), open, delivery });
        behindDead.add(open.hash);
        continue;
      }
      if (this.#isFull || this.#tooLarge(message)) break;
      this.#takeFromState(open, delivery);
      this.#give(message, open, delivery === undefined ? undefined : attempt);
      this.gaveAgain = true;
    }
    if (dead.length > 0) {
      const leaving = dead.map((each) => each.leaving);
      const gone = await leave(this.#io, this.#parts, this.#subscription, this.#draft, leaving);
      for (const { open, delivery } of dead.slice(0, gone))
        leaveState(this.#state, delivery, open, { taken: delivery.held });
    }
    return candidates.length > wanted.length || dead.length > 0;
  }

  /** In an orderly group those only before which nothing of the same message group is open elsewhere. */
  #candidates(): { readonly open: OpenMessage; readonly delivery: Delivery | undefined }[] {
    const all = this.#state.deliveries.flatMap((delivery) =>
      delivery.messages.map((open) => ({ open, delivery: delivery as Delivery | undefined })),
    );
    for (const open of this.#state.heldBack) all.push({ open, delivery: undefined });
    all.sort((a, b) => a.open.offset - b.open.offset);
    const blocked = this.#blocked;
    return all.filter(({ open: { hash }, delivery }) => {
      if (delivery !== undefined && delivery.until > this.#now) {
        if (hash !== 0) blocked.add(hash);
        return false;
      }
      return hash === 0 || !blocked.has(hash);
    });
  }

  #takeFromState(open: OpenMessage, delivery: Delivery | undefined): void {
    if (delivery !== undefined) takeOut(this.#state, delivery, open);
    else this.#state.heldBack = this.#state.heldBack.filter(({ offset }) => offset !== open.offset);
  }

  /** Answers whether there is more behind what was looked at. */
  async #giveNew(newMax: number): Promise<boolean> {
    const { orderly } = this.#subscription.group;
    // What is open and was not given to this receiver now blocks what comes behind it.
    for (const { stamp, messages } of this.#state.deliveries)
      if (stamp !== this.stamp) for (const { hash } of messages) this.#blocked.add(hash);
    for (const { hash } of this.#state.heldBack) this.#blocked.add(hash);
    for (let lookedAt = 0, given = 0; lookedAt < lookedAtMax; ) {
      if (given >= newMax || this.#isFull) return true;
      const messagesMax = this.#filter.text === "*" && !orderly ? newMax - given : 128;
      const read = await readMessages(this.#io, this.#parts.log, this.#queue, {
        offset: this.#state.next,
        messagesMax,
        bytesMax: Math.max(1, this.#wanted.bytesMax - this.#bytes),
      });
      const state = this.#state;
      state.next = read.from;
      if (read.messages.length === 0) return false;
      for (const message of read.messages) {
        if (given >= newMax || this.#isFull || this.#tooLarge(message)) return true;
        const { offset } = message;
        const hash = orderly ? hashOf(message.message) : 0;
        const isOurs = this.#place !== retryPlace || this.#isOfThisTopic(message);
        if (isOurs && this.#filter.wants(message.message)) {
          if (hash !== 0 && this.#blocked.has(hash)) {
            if (state.heldBack.length >= heldBackMax) return false;
            state.heldBack = [...state.heldBack, { offset, hash }];
          } else {
            this.#give(message, { offset, hash }, undefined);
            this.gaveNew = true;
            given++;
          }
        }
        state.next = offset + 1;
        state.nextEndsRow = state.next === read.end;
        lookedAt++;
      }
    }
    return true;
  }

  #tooLarge({ message }: StoredMessage): boolean {
    const bytes = this.#bytes + message.body.length;
    return this.#received.length > 0 && bytes > this.#wanted.bytesMax;
  }

  /** Puts a message into the hands of this receiver. */
  #give(stored: StoredMessage, open: OpenMessage, again: number | undefined): void {
    const { topic, consumer } = this.#subscription;
    const { origin, message } = this.#origin(stored);
    const attempt = again ?? origin.attempts + 1;
    const until = this.#now + this.#wanted.invisibleMs;
    this.stamp ??= ++this.#state.lastStamp;
    const { stamp } = this;
    const { attemptKey } = this.#wanted;
    const same = this.#state.deliveries.find(
      (each) => each.stamp === stamp && each.attempt === attempt,
    );
    if (same === undefined)
      this.#state.deliveries.push({
        stamp,
        attempt,
        until,
        held: true,
        attemptKey,
        messages: [open],
      });
    else same.messages.push(open);
    const { groupId, topicId } = consumer;
    const receipt = { groupId, topicId, place: this.#place, offset: open.offset, stamp };
    this.#bytes += message.body.length;
    this.#received.push({
      topic: topic.name,
      queue: origin.queue,
      stored: { ...stored, message, offset: origin.offset, storedAt: origin.storedAt },
      receipt,
      deliveryAttempt: attempt,
      invisibleUntil: until,
    });
  }

  #origin(stored: StoredMessage): { readonly origin: OriginOf; readonly message: Message } {
    return firstPlace(stored, this.#place, this.#queue);
  }

  #isOfThisTopic(stored: StoredMessage): boolean {
    return originOf(stored).origin?.topicId === this.#subscription.topic.id;
  }

  #deadLetter(stored: StoredMessage, delivery: Delivery): Leaving {
    const { origin, message } = this.#origin(stored);
    return {
      message,
      messageId: stored.messageId,
      origin: { ...origin, attempts: delivery.attempt },
      dueAt: this.#now,
      deadLetter: delivery.held ? "expired" : "attempts",
    };
  }
}

/** Where a message was sent to, wherever a copy of it lies. */
export function firstPlace(
  stored: StoredMessage,
  place: number,
  { topicId, queue }: QueueId,
): { readonly origin: OriginOf; readonly message: Message } {
  if (place === retryPlace) {
    const { origin, message } = originOf(stored);
    if (origin !== undefined) return { origin, message };
  }
  const { offset, storedAt, message } = stored;
  return { origin: { topicId, queue, offset, storedAt, attempts: 0 }, message };
}

/** Nothing fits: what nobody holds leaves, so that the row gets room again. An orderly group waits, for its order would go. */
async function makeRoom(
  io: Ports,
  parts: LeavingParts,
  subscription: Subscription,
  { place, queue }: { readonly place: number; readonly queue: QueueId },
  draft: Draft,
): Promise<GivenOut> {
  const none = { received: [], more: false };
  if (subscription.group.orderly) return none;
  const now = io.clock.now();
  const idle = draft.state.deliveries
    .filter(({ until }) => until <= now)
    .flatMap((delivery) => delivery.messages.map((open) => ({ open, delivery })))
    .sort((a, b) => a.open.offset - b.open.offset)
    .slice(0, leavingMax);
  const offsets = idle.map(({ open }) => open.offset);
  const stored = await readMessagesAt(io, parts.log, queue, offsets);
  const found = idle.filter(({ open }) => stored.has(open.offset));
  const leaving = found.map(({ open, delivery }): Leaving => {
    const message = stored.get(open.offset);
    if (message === undefined) throw new BrokerError("internal", "it was found");
    const { origin, message: bare } = firstPlace(message, place, queue);
    const attempts = delivery.attempt;
    return {
      message: bare,
      messageId: message.messageId,
      origin: { ...origin, attempts },
      dueAt: now,
    };
  });
  const gone = leaving.length === 0 ? 0 : await leave(io, parts, subscription, draft, leaving);
  for (const { open, delivery } of found.slice(0, gone))
    leaveState(draft.state, delivery, open, { taken: delivery.held });
  return { ...none, more: gone > 0 };
}

/** Two bytes, never 0: message groups that share them wait for each other. */
export function hashOf({ messageGroup }: Message): number {
  if (messageGroup === undefined) return 0;
  return textHash(messageGroup).low & 0xffff || 1;
}

/** The key by which a request that is repeated finds what it was given. */
export function attemptKeyOf(attemptId: string): string {
  const { high, low } = textHash(attemptId);
  return high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
}

/** What a receiver may ask for. */
export const receiveDefaults = {
  max: 32,
  bytesMax: 1_048_576,
  invisibleMs: 30_000,
} as const;
