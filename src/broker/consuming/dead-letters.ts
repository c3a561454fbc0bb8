import { BrokerError } from "../errors.ts";
import type { StoredMessage } from "../log/stored-messages.ts";
import type { Ports } from "../ports/ports.ts";
import type { ConsumerId, QueueId } from "../schema.ts";
import { parseFilter } from "./filter.ts";
import { deadLetterTopicOf, type Group } from "./group.ts";
import type { Subscription } from "./groups.ts";
import { type Leaving, leave, leavingMax, type PastOf, pastOf } from "./leaving.ts";
import { decodeState, encodeState, type OpenMessage, stateBytes } from "./queue-state.ts";
import type { Draft } from "./queue-states.ts";
import { readMessages, readMessagesAt } from "./read-messages.ts";
import type { ConsumingParts } from "./receive.ts";

export interface DeadLetter {
  readonly stored: StoredMessage;
  readonly past: PastOf;
  /** It was sent to be consumed once more. */
  readonly redriven: boolean;
}

export interface DeadLettersAsked {
  readonly group: string;
  /** Absent: from the first one on. */
  readonly offset?: number | undefined;
  readonly max: number;
  readonly bytesMax: number;
}

export interface RedriveRequest {
  readonly group: string;
  readonly max: number;
  /** Which dead letters, by their tags. */
  readonly filter?: string | undefined;
  readonly dryRun?: boolean | undefined;
}

/** What was passed over because of a filter stays behind as long as the state has room for saying so. */
const bytesForPassedOver = 3_500;

/** The dead letters of a group, from an offset on. They stay for their retention, redriven or not. */
export async function listDeadLetters(
  io: Ports,
  parts: ConsumingParts,
  { group: name, offset, max, bytesMax }: DeadLettersAsked,
): Promise<{
  readonly deadLetters: readonly DeadLetter[];
  readonly nextOffset: number;
  readonly min: number;
  readonly max: number;
}> {
  const own = await ownDeadLetters(io, parts, await parts.groups.getNow(io, name));
  if (own === undefined) return { deadLetters: [], nextOffset: offset ?? 0, min: 0, max: 0 };
  const range = await parts.log.range(io, own.queue);
  const from = offset ?? range.min;
  if (from < range.min || from > range.max) {
    throw new BrokerError("out_of_range", "there are no dead letters there", {
      field: "offset",
      given: from,
      allowed: `${range.min} to ${range.max}`,
      ...range,
    });
  }
  const limits = { messagesMax: max, bytesMax };
  const read = await readMessages(io, parts.log, own.queue, { offset: from, ...limits });
  const state = (await parts.states.scan(io, own.consumer)).get(0);
  const stays = new Set(state?.heldBack.map((each) => each.offset));
  const messages = read.messages.slice(0, max);
  return {
    deadLetters: messages.map((stored) => {
      const { past, message } = pastOf(stored);
      const redriven = stored.offset < (state?.next ?? 0) && !stays.has(stored.offset);
      return { stored: { ...stored, message }, past, redriven };
    }),
    nextOffset: (messages.at(-1)?.offset ?? from - 1) + 1,
    ...range,
  };
}

/**
 * Has dead letters consumed once more, by this group alone: each goes from here to the group's retry topic in one commit,
 * so none goes twice. Their attempts count from the first again.
 */
export async function redrive(
  io: Ports,
  parts: ConsumingParts,
  { group: name, max, filter = "*", dryRun = false }: RedriveRequest,
): Promise<{ readonly moved: number; readonly remaining: number }> {
  const group = await parts.groups.getNow(io, name);
  const own = await ownDeadLetters(io, parts, group);
  if (own === undefined) return { moved: 0, remaining: 0 };
  let moved = 0;
  for (let more = true; more && moved < max; ) {
    const some = await parts.states.change(io, own.consumer, 0, (draft) =>
      redriveSome(io, parts, group, own.queue, draft, { filter, max: max - moved, dryRun }),
    );
    moved += some.moved;
    more = some.more && !dryRun;
  }
  const { max: end, min } = await parts.log.range(io, own.queue);
  const state = (await parts.states.scan(io, own.consumer)).get(0);
  const next = Math.max(min, state?.next ?? 0);
  const remaining = Math.max(0, end - next) + (state?.heldBack.length ?? 0);
  return { moved, remaining };
}

interface OwnDeadLetters {
  readonly queue: QueueId;
  readonly consumer: ConsumerId;
}

/** `undefined` where there has been none. */
async function ownDeadLetters(
  io: Ports,
  { topics }: ConsumingParts,
  { id: groupId, name }: Group,
): Promise<OwnDeadLetters | undefined> {
  const topic = await topics.find(io, deadLetterTopicOf(name));
  if (topic === undefined) return undefined;
  const { id: topicId } = topic;
  return { queue: { topicId, queue: 0 }, consumer: { groupId, topicId, member: "" } };
}

interface Candidate {
  readonly stored: StoredMessage;
  readonly of: Subscription | undefined;
  readonly past: PastOf;
}

/** As many as go in one commit, those that were passed over before first. */
async function redriveSome(
  io: Ports,
  parts: ConsumingParts,
  group: Group,
  queue: QueueId,
  draft: Draft,
  {
    filter,
    max,
    dryRun,
  }: { readonly filter: string; readonly max: number; readonly dryRun: boolean },
): Promise<{ readonly moved: number; readonly more: boolean }> {
  const wanted = parseFilter(filter, "filter");
  const countMax = dryRun ? max : Math.min(max, leavingMax);
  const going: Candidate[] = [];
  const before = encodeState(draft.state);
  const passedOver: OpenMessage[] = [];
  const consider = async (stored: StoredMessage | undefined, open: OpenMessage) => {
    if (stored === undefined) return;
    const { past } = pastOf(stored);
    const of = await subscriptionTo(io, parts, group, past.topic);
    // Only together with those of the same topic, as they leave for the same queue.
    const fits =
      going.length < countMax && (dryRun || (going[0]?.past.topic ?? past.topic) === past.topic);
    if (of !== undefined && fits && wanted.wants(stored.message)) going.push({ stored, of, past });
    else passedOver.push(open);
  };
  const { state } = draft;
  const found = await readMessagesAt(
    io,
    parts.log,
    queue,
    state.heldBack.map((each) => each.offset),
  );
  for (const open of state.heldBack) await consider(found.get(open.offset), open);
  let atEnd = false;
  while (going.length < countMax && !atEnd) {
    const read = await readMessages(io, parts.log, queue, {
      offset: state.next,
      messagesMax: 64,
      bytesMax: 262_144,
    });
    state.next = read.from;
    atEnd = read.messages.length === 0;
    for (const message of read.messages) {
      if (going.length >= countMax) break;
      await consider(message, { offset: message.offset, hash: 0 });
      state.next = message.offset + 1;
      if (stateBytes({ ...state, heldBack: passedOver }) > bytesForPassedOver) atEnd = true;
    }
  }
  state.heldBack = passedOver;
  const first = going[0]?.of;
  if (dryRun || first === undefined) {
    if (dryRun) draft.state = decodeState(before);
    return { moved: going.length, more: false };
  }
  const now = io.clock.now();
  const leaving = going.map(
    ({ stored: { message, storedAt, messageId, offset }, past, of }): Leaving => {
      const { message: bare } = pastOf({ message, storedAt, messageId, offset });
      const topicId = of?.topic.id ?? 0;
      const origin = { topicId, queue: past.queue, offset: past.offset, storedAt, attempts: 0 };
      return { message: bare, messageId, origin, dueAt: now };
    },
  );
  const gone = await leave(io, parts, first, draft, leaving);
  const back = going.slice(gone).map((each) => ({ offset: each.stored.offset, hash: 0 }));
  state.heldBack = [...passedOver, ...back].sort((a, b) => a.offset - b.offset);
  return { moved: gone, more: gone > 0 };
}

/** `undefined` where the group does not consume the topic any more: its dead letters stay. */
async function subscriptionTo(
  io: Ports,
  { topics }: ConsumingParts,
  group: Group,
  name: string,
): Promise<Subscription | undefined> {
  const of = group.topics[name];
  const topic = of && (await topics.find(io, name));
  if (topic === undefined || of === undefined || topic.id !== of.id) return undefined;
  return { group, topic, of, consumer: { groupId: group.id, topicId: topic.id, member: "" } };
}
