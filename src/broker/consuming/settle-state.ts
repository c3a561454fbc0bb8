import { textHash } from "../text-hash.ts";
import type { Delivery, OpenMessage, QueueState } from "./queue-state.ts";
import type { Receipt } from "./receipt-handle.ts";

/** A delivery named by its offset and stamp, as the state knows it. */
export type Standing =
  /** Nobody else was given the message since. */
  | { readonly is: "open"; readonly delivery: Delivery; readonly message: OpenMessage }
  /** It was acknowledged under this handle. */
  | { readonly is: "settled" }
  /** It was given back under this handle and has left the state: it comes again elsewhere, or is a dead letter. */
  | { readonly is: "left" }
  /** Somebody else was given the message, or a reset made it void. */
  | { readonly is: "stale" };

export function standingOf(state: QueueState, { offset, stamp }: Receipt): Standing {
  if (stamp <= state.voidUpTo || stamp > state.lastStamp || offset >= state.next)
    return { is: "stale" };
  for (const delivery of state.deliveries) {
    const message = delivery.messages.find((each) => each.offset === offset);
    if (message === undefined) continue;
    return delivery.stamp === stamp ? { is: "open", delivery, message } : { is: "stale" };
  }
  if (state.heldBack.some((each) => each.offset === offset)) return { is: "stale" };
  const settlement = state.settlements.findLast((each) => each.offset === offset);
  if (settlement !== undefined) {
    if (settlement.stamp !== stamp) return { is: "stale" };
    return { is: settlement.left ? "left" : "settled" };
  }
  return { is: stamp <= state.forgottenUpTo ? "stale" : "settled" };
}

/** Takes a message out of its delivery. */
export function takeOut(state: QueueState, delivery: Delivery, { offset }: OpenMessage): void {
  delivery.messages = delivery.messages.filter((each) => each.offset !== offset);
  if (delivery.messages.length === 0)
    state.deliveries = state.deliveries.filter((each) => each !== delivery);
}

/** Settles a message for good. Where others held it before, it is noted who came last. */
export function settle(state: QueueState, delivery: Delivery, message: OpenMessage): void {
  takeOut(state, delivery, message);
  const { offset } = message;
  if (delivery.attempt > 1) state.settlements.push({ offset, stamp: delivery.stamp, left: false });
}

/** A message leaves the state to come again elsewhere: given back under this handle, or taken from a holder who let it expire. */
export function leaveState(
  state: QueueState,
  delivery: Delivery,
  message: OpenMessage,
  { taken }: { readonly taken: boolean },
): void {
  takeOut(state, delivery, message);
  const { offset } = message;
  // Taken away is as if the broker had been given it: no handle is good any more.
  const stamp = taken ? ++state.lastStamp : delivery.stamp;
  state.settlements.push({ offset, stamp, left: !taken });
}

/** Changes how long a message stays invisible, and whether somebody works on it. Those of its delivery that are treated alike stay together. */
export function moveTo(
  state: QueueState,
  delivery: Delivery,
  message: OpenMessage,
  { until, held }: Pick<Delivery, "until" | "held">,
): void {
  if (delivery.until === until && delivery.held === held) return;
  const { stamp, attempt } = delivery;
  // What was given back is no answer to a request that is repeated.
  const attemptKey = held ? delivery.attemptKey : undefined;
  const alike = state.deliveries.find(
    (each) =>
      each.stamp === stamp &&
      each.attempt === attempt &&
      each.until === until &&
      each.held === held &&
      each.attemptKey === attemptKey,
  );
  takeOut(state, delivery, message);
  if (alike === undefined)
    state.deliveries.push({ stamp, attempt, until, held, attemptKey, messages: [message] });
  else alike.messages = [...alike.messages, message].sort((a, b) => a.offset - b.offset);
}

/** Drops everything below an offset, which somebody committed. */
export function commitUpTo(state: QueueState, next: number): void {
  if (next > state.next) {
    state.next = next;
    state.nextEndsRow = false;
  }
  for (const delivery of state.deliveries)
    delivery.messages = delivery.messages.filter(({ offset }) => offset >= next);
  state.deliveries = state.deliveries.filter(({ messages }) => messages.length > 0);
  state.heldBack = state.heldBack.filter(({ offset }) => offset >= next);
}

/** Begins anew at an offset. Every handle is void from now on (rule 19 of the log). */
export function resetTo(state: QueueState, next: number): void {
  state.voidUpTo = ++state.lastStamp;
  state.next = next;
  state.nextEndsRow = false;
  state.deliveries = [];
  state.heldBack = [];
  state.settlements = [];
}

/** Writes whose the queue is, and since when. An owner of an earlier generation who comes late changes nothing. */
export function claimFor(state: QueueState, clientId: string, generation: number): void {
  if (generation <= state.generation) return;
  state.generation = generation;
  state.owner = ownerHash(clientId);
}

/** Whether a member of this generation may commit (rule 20 of the log). */
export function mayCommit(
  state: QueueState,
  { clientId, generation }: { readonly clientId: string; readonly generation: number },
): boolean {
  if (generation < state.generation) return false;
  return state.owner === 0 || state.owner === ownerHash(clientId);
}

function ownerHash(clientId: string): number {
  return textHash(clientId).low || 1;
}
