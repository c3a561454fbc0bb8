import { BrokerError, isBrokerError } from "../errors.ts";
import { limits } from "../limits.ts";
import { toBrokerError } from "../port-errors.ts";
import type { Ports } from "../ports/ports.ts";
import { firstPlace, queueAt } from "./give-out.ts";
import { type Group, retryDelay } from "./group.ts";
import type { Subscription } from "./groups.ts";
import { type DeadLetterReason, type Leaving, leave, leavingMax } from "./leaving.ts";
import { decodeState, encodeState, stateBytes } from "./queue-state.ts";
import type { Draft } from "./queue-states.ts";
import { readMessagesAt } from "./read-messages.ts";
import { type Receipt, readReceiptHandle } from "./receipt-handle.ts";
import type { ConsumingParts } from "./receive.ts";
import { leaveState, moveTo, type Standing, settle, standingOf } from "./settle-state.ts";

/** What became of each handle: `undefined` where all is well. */
export type Settled = readonly (BrokerError | undefined)[];

/** What is given back stays in the state while it is below this; beyond it leaves, so that others find room. */
const bytesForGivenBack = 1_800;
const bytesForExtended = 3_900;

/** Acknowledges messages for good. Again is fine; `receipt_stale` where somebody else was given the message since. */
export async function acknowledge(
  io: Ports,
  parts: ConsumingParts,
  { group, handles }: { readonly group: string; readonly handles: readonly string[] },
): Promise<Settled> {
  return await byQueue(io, parts, { group, handles }, async (of, receipts) => {
    const settled = await parts.states.change(io, of.consumer, of.place, ({ state }) =>
      receipts.map((receipt) => {
        const standing = standingOf(state, receipt);
        if (standing.is === "open") settle(state, standing.delivery, standing.message);
        return standing.is === "stale" || standing.is === "left" ? stale(standing) : undefined;
      }),
    );
    // What waited behind them in its message group is free.
    if (of.group.orderly) await announce(io, parts, of);
    return settled;
  });
}

/**
 * Gives messages back: each comes again after `delayMs`, or by the group's ladder; after the last attempt, or where
 * `deadLetter` says so, it becomes a dead letter. What waits long, or is more than the state of the queue has room for,
 * leaves it by way of the group's retry topic. In an orderly group it stays, and where there is no room it comes again when
 * its invisible time is over.
 */
export async function giveBack(
  io: Ports,
  parts: ConsumingParts,
  request: {
    readonly group: string;
    readonly handles: readonly string[];
    readonly delayMs?: number | undefined;
    readonly deadLetter?: boolean | undefined;
  },
): Promise<Settled> {
  return await byQueue(io, parts, request, async (of, receipts) => {
    const results: (BrokerError | undefined)[] = receipts.map(() => undefined);
    let left = receipts.map((receipt, index) => ({ receipt, index }));
    // Those that leave do so in portions that one commit takes.
    while (left.length > 0) {
      const asked = left;
      const { errors, later } = await parts.states.change(io, of.consumer, of.place, (draft) =>
        giveBackSome(io, parts, of, draft, {
          ...request,
          receipts: asked.map((each) => each.receipt),
        }),
      );
      for (const [at, error] of errors) {
        const index = asked[at]?.index;
        if (index !== undefined) results[index] = error;
      }
      left = asked.filter((_, at) => later.has(at));
    }
    await announce(io, parts, of);
    return results;
  });
}

/** Keeps messages invisible for `invisibleMs` from now. The handles stay as they are. */
export async function extend(
  io: Ports,
  parts: ConsumingParts,
  request: {
    readonly group: string;
    readonly handles: readonly string[];
    readonly invisibleMs: number;
  },
): Promise<Settled> {
  return await byQueue(io, parts, request, (of, receipts) =>
    parts.states.change(io, of.consumer, of.place, (draft) => {
      const until = io.clock.now() + request.invisibleMs;
      const before = encodeState(draft.state);
      const results = receipts.map((receipt) => {
        const standing = standingOf(draft.state, receipt);
        if (standing.is !== "open" || !standing.delivery.held) return stale(standing);
        moveTo(draft.state, standing.delivery, standing.message, { until, held: true });
        return undefined;
      });
      if (stateBytes(draft.state) <= bytesForExtended) return results;
      // No room to tell them apart from the rest of what was given out with them: all of it stays longer.
      draft.state = decodeState(before);
      for (const receipt of receipts) {
        const standing = standingOf(draft.state, receipt);
        if (standing.is === "open" && standing.delivery.held)
          standing.delivery.until = Math.max(standing.delivery.until, until);
      }
      return results;
    }),
  );
}

/** A queue of a group, as handles name it. */
export interface QueueOfGroup extends Pick<Subscription, "consumer" | "group"> {
  readonly place: number;
  /** The name of its topic; absent where the group does not consume it any more. */
  readonly topic: string | undefined;
}

/** Treats the handles of each queue together, all queues at once. Queues stand or fall by themselves. */
async function byQueue(
  io: Ports,
  { groups }: ConsumingParts,
  { group: name, handles }: { readonly group: string; readonly handles: readonly string[] },
  treat: (of: QueueOfGroup, receipts: readonly Receipt[]) => Promise<Settled>,
): Promise<Settled> {
  const receipts = handles.map((handle, index) =>
    readReceiptHandle(handle, `receiptHandles[${index}]`),
  );
  const group = await groups.get(io, name);
  const results: (BrokerError | undefined)[] = handles.map(() => undefined);
  const queues = new Map<string, number[]>();
  receipts.forEach(({ groupId, topicId, place }, index) => {
    if (groupId !== group.id) results[index] = stale({ is: "stale" });
    else {
      const id = `${topicId}/${place}`;
      queues.set(id, [...(queues.get(id) ?? []), index]);
    }
  });
  await Promise.all(
    [...queues.values()].map(async (indices) => {
      const own = indices.map((index) => receipts[index] as Receipt);
      const { groupId, topicId, place } = own[0] as Receipt;
      const consumer = { groupId, topicId, member: "" };
      const of = { group, consumer, place, topic: topicNamed(group, topicId) };
      let settled: Settled;
      try {
        settled = await treat(of, own);
      } catch (cause) {
        const error = toBrokerError(cause);
        if (!isBrokerError(error)) throw error;
        settled = own.map(() => error);
      }
      indices.forEach((index, at) => {
        results[index] = settled[at];
      });
    }),
  );
  return results;
}

export function topicNamed({ topics }: Group, topicId: number): string | undefined {
  return Object.entries(topics).find(([, { id }]) => id === topicId)?.[0];
}

export function stale(standing: Pick<Standing, "is">, field = "receiptHandles"): BrokerError {
  const message =
    standing.is === "left" || standing.is === "open"
      ? "the message was given back and comes again"
      : standing.is === "settled"
        ? "the message is acknowledged"
        : "somebody else was given the message since, or the group was reset";
  return new BrokerError("receipt_stale", message, {
    field,
    rocketmqCode: 40013, // INVALID_RECEIPT_HANDLE
  });
}

/** Wakes those who wait for messages of the queue in this process: they may get some sooner than they thought. */
export async function announce(io: Ports, parts: ConsumingParts, of: QueueOfGroup): Promise<void> {
  const subscription = await subscriptionOf(io, parts, of);
  const queue = subscription && (await queueAt(io, parts, subscription, of.place));
  if (queue !== undefined) parts.log.arrivals.announce(queue);
}

async function subscriptionOf(
  io: Ports,
  { topics }: ConsumingParts,
  { group, consumer, topic: name }: QueueOfGroup,
): Promise<Subscription | undefined> {
  const topic = name === undefined ? undefined : await topics.find(io, name);
  const of = name === undefined ? undefined : group.topics[name];
  return topic === undefined || of === undefined || topic.id !== consumer.topicId
    ? undefined
    : { group, topic, of, consumer };
}

interface GivenBack {
  /** By the place of the receipt among those that were asked. */
  readonly errors: ReadonlyMap<number, BrokerError>;
  /** Those for which there was no room in this commit. */
  readonly later: ReadonlySet<number>;
}

type OpenStanding = Extract<Standing, { is: "open" }>;

async function giveBackSome(
  io: Ports,
  parts: ConsumingParts,
  of: QueueOfGroup,
  draft: Draft,
  {
    receipts,
    delayMs,
    deadLetter = false,
  }: {
    readonly receipts: readonly Receipt[];
    readonly delayMs?: number | undefined;
    readonly deadLetter?: boolean | undefined;
  },
): Promise<GivenBack> {
  const { group } = of;
  const now = io.clock.now();
  const errors = new Map<number, BrokerError>();
  const leaving: {
    readonly at: number;
    readonly waitMs: number;
    readonly reason?: DeadLetterReason;
  }[] = [];
  const staying: { readonly at: number; readonly waitMs: number }[] = [];
  const seen = new Set<number>();
  receipts.forEach((receipt, at) => {
    const standing = standingOf(draft.state, receipt);
    if (standing.is === "stale") errors.set(at, stale(standing));
    if (seen.has(receipt.offset)) return;
    seen.add(receipt.offset);
    if (standing.is !== "open" || (!standing.delivery.held && !deadLetter)) return;
    const { attempt } = standing.delivery;
    const waitMs = delayMs ?? retryDelay(group, attempt);
    if (deadLetter) leaving.push({ at, waitMs: 0, reason: "rejected" });
    else if (attempt >= group.maxAttempts) leaving.push({ at, waitMs: 0, reason: "attempts" });
    else if (!group.orderly && waitMs > limits.waitInStateMsMax) leaving.push({ at, waitMs });
    else staying.push({ at, waitMs });
  });

  const before = encodeState(draft.state);
  for (const { at, waitMs } of staying) {
    const { delivery, message } = openStanding(draft, receipts[at]);
    moveTo(draft.state, delivery, message, { until: now + waitMs, held: false });
  }
  if (staying.length > 0 && stateBytes(draft.state) > bytesForGivenBack) {
    const fits = group.orderly && stateBytes(draft.state) <= bytesForExtended;
    if (!fits) draft.state = decodeState(before);
    if (!group.orderly) leaving.push(...staying);
  }

  const subscription = await subscriptionOf(io, parts, of);
  const queue = subscription && (await queueAt(io, parts, subscription, of.place));
  if (leaving.length === 0 || subscription === undefined || queue === undefined)
    return { errors, later: new Set() };
  const some = leaving.slice(0, leavingMax);
  const offsets = some.map(({ at }) => receipts[at]?.offset ?? 0).sort((a, b) => a - b);
  const stored = await readMessagesAt(io, parts.log, queue, offsets);
  const copies: Leaving[] = [];
  const going: OpenStanding[] = [];
  for (const { at, waitMs, reason } of some) {
    const standing = openStanding(draft, receipts[at]);
    const message = stored.get(standing.message.offset);
    if (message === undefined) {
      // Trimmed: nobody can be given it any more.
      settle(draft.state, standing.delivery, standing.message);
      continue;
    }
    const { origin, message: bare } = firstPlace(message, of.place, queue);
    going.push(standing);
    copies.push({
      message: bare,
      messageId: message.messageId,
      origin: { ...origin, attempts: standing.delivery.attempt },
      dueAt: now + waitMs,
      ...(reason === undefined ? {} : { deadLetter: reason }),
    });
  }
  const gone = copies.length === 0 ? 0 : await leave(io, parts, subscription, draft, copies);
  for (const { delivery, message } of going.slice(0, gone))
    leaveState(draft.state, delivery, message, { taken: false });
  const isLater = (offset: number | undefined) =>
    going.slice(gone).some(({ message }) => message.offset === offset);
  const later = leaving.filter(
    ({ at }, index) => index >= some.length || isLater(receipts[at]?.offset),
  );
  return { errors, later: new Set(later.map(({ at }) => at)) };
}

/** Of a receipt that was found open in this state. */
function openStanding({ state }: Draft, receipt: Receipt | undefined): OpenStanding {
  const standing = receipt && standingOf(state, receipt);
  if (standing?.is !== "open") throw new BrokerError("internal", "it was open");
  return standing;
}
