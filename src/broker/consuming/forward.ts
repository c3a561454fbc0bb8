import { jitter, newVersion } from "../chance.ts";
import { BrokerError, invalid } from "../errors.ts";
import { limits } from "../limits.ts";
import { type Batch, encodeBatch, readBatch } from "../log/batch.ts";
import type { LogSettings } from "../log/log-settings.ts";
import { type RefusedWrite, Superseded } from "../log/pending-append.ts";
import { Unavailable } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import {
  type Item,
  itemBytes,
  type Key,
  keyId,
  type Put,
  storeLimits,
  type Write,
} from "../ports/store.ts";
import { keys, type QueueId, queueName } from "../schema.ts";
import { routedTo } from "../sending/outgoing-message.ts";
import { conditionFailed, type OwnWrite, ownWrites } from "../sending/own-rows.ts";
import { expectAccepted, expectFits } from "../sending/routing.ts";
import { type Delayed, delayedOf, type Routed } from "../sending/send-messages.ts";
import type { Topic } from "../topics/topic.ts";
import {
  batchIdOf,
  digestOf,
  type ForwardedPlace,
  type ForwardedTo,
  type ForwardResult,
  forwardIdOf,
  forwardPut,
  messagesOf,
  readForward,
  resultsOf,
} from "./forward-record.ts";
import type { Group } from "./group.ts";
import { decodeState, encodeState, newState } from "./queue-state.ts";
import { type Receipt, readReceiptHandle } from "./receipt-handle.ts";
import type { ConsumingParts } from "./receive.ts";
import { announce, type QueueOfGroup, stale, topicNamed } from "./settle-receipts.ts";
import { settle, standingOf } from "./settle-state.ts";

export interface ForwardRequest {
  readonly group: string;
  readonly handles: readonly string[];
  readonly sends: readonly ForwardedTo[];
  /** Of whoever embeds the broker. */
  readonly rows?: readonly OwnWrite[];
}

/** So long it is tried against others who change the same queues before the caller is told (ms). */
const patienceMs = 10_000;

/**
 * Acknowledges messages and stores what came of them, and rows of whoever embeds the broker, in one commit of the store, or
 * none of it. Repeated under the same handles it answers what the first one did, for a day; other messages under them are
 * `idempotency_key_reused`. Throws `receipt_stale` where one of the messages is not the caller's any more, and
 * `condition_failed` where a row is not what he expects.
 */
export async function forward(
  io: Ports,
  parts: ConsumingParts,
  request: ForwardRequest,
): Promise<ForwardResult[]> {
  const { handles, sends, rows = [] } = request;
  const receipts = handles.map((handle, index) =>
    readReceiptHandle(handle, `receiptHandles[${index}]`),
  );
  expectCount(sends);
  const own = rows.length === 0 ? [] : ownWrites(io, rows);
  const group = await parts.groups.get(io, request.group);
  const sources = sourcesOf(group.id, receipts);
  expectRoom({ sources: sources.length, rows: own.length, targets: 0 });
  const id = forwardIdOf(handles);
  const asked: Asked = {
    id,
    record: keys.forward(group.id, id),
    digest: digestOf(sends),
    sources,
    own,
  };
  const releases: ((item: Item | undefined) => void)[] = [];
  let left: readonly (Item | undefined)[] = [];
  try {
    for (const { key } of sources) releases.push(await parts.states.hold(io, key));
    const done = await decided(io, parts, request, asked);
    left = done.states;
    if (group.orderly) await announceAll(io, parts, group, sources);
    return resultsOf(id, sends, done.places);
  } finally {
    for (const [index, release] of releases.entries()) release(left[index]);
  }
}

interface Asked {
  readonly id: Uint8Array;
  /** Where it is noted what this forward did. */
  readonly record: Key;
  readonly digest: string;
  readonly sources: readonly Source[];
  readonly own: readonly Write[];
}

/** A queue that some of the messages were received from. */
interface Source {
  readonly key: Key;
  readonly of: Pick<QueueOfGroup, "consumer" | "place">;
  readonly receipts: readonly { readonly receipt: Receipt; readonly index: number }[];
}

interface Done {
  readonly places: readonly ForwardedPlace[];
  /** The states of the sources as they are now, where that is known. */
  readonly states: readonly Item[];
}

/** What lay in the store when it was last looked at. */
interface Seen {
  readonly record: Item | undefined;
  readonly states: readonly (Item | undefined)[];
}

/** What waited behind them in its message group is free. Those who are not woken look by themselves before long. */
async function announceAll(
  io: Ports,
  parts: ConsumingParts,
  group: Group,
  sources: readonly Source[],
): Promise<void> {
  try {
    for (const { of } of sources)
      await announce(io, parts, { ...of, group, topic: topicNamed(group, of.consumer.topicId) });
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
  }
}

async function decided(
  io: Ports,
  parts: ConsumingParts,
  { sends }: ForwardRequest,
  asked: Asked,
): Promise<Done> {
  const { record: recordKey, sources } = asked;
  const wanted = [recordKey, ...sources.map(({ key }) => key)];
  const [record, ...states] = await io.store.get(wanted);
  let seen: Seen = { record, states };
  let plan: Plan | undefined;
  let giveUpAt = Number.POSITIVE_INFINITY;
  for (let attempts = 1; ; attempts++) {
    if (seen.record !== undefined) return { places: doneBefore(seen.record, asked), states: [] };
    let settled: Put[];
    try {
      settled = settledStates(io, sources, seen.states);
    } catch (error) {
      // Items are not read at one instant: an earlier attempt may have landed between the note and the states.
      const [note] = await io.store.get([recordKey]);
      if (note === undefined) throw error;
      seen = { ...seen, record: note };
      continue;
    }
    if (plan === undefined) {
      plan = await planned(io, parts, asked, sends);
      giveUpAt = io.clock.now() + patienceMs;
    }
    try {
      return await committed(io, parts, asked, plan, settled);
    } catch (error) {
      if (!(error instanceof Superseded)) throw error;
      seen = seenNow(seen, asked, settled, error.refused);
    }
    if (io.clock.now() > giveUpAt)
      throw new BrokerError("contention", "others were always faster", { attempts });
    await io.clock.sleep(jitter(io.random, Math.min(200, 2 ** attempts)));
  }
}

async function committed(
  io: Ports,
  { log, timers }: ConsumingParts,
  { record, digest, own }: Asked,
  { batches, waiting, count }: Plan,
  settled: readonly Put[],
): Promise<Done> {
  const alarms = timers.along(io, waiting);
  const places: ForwardedPlace[] = new Array(count);
  for (const { queue, dueAt: deliverAt, members } of waiting)
    places[members[0].index] = { queue, deliverAt };
  try {
    await log.appendTogether(io, batches, (appended) => {
      appended.forEach(({ base }, at) => {
        const { queue, members } = batches[at] as BatchOfQueue;
        members.forEach(({ index }, place) => {
          places[index] = { queue, offset: base + place };
        });
      });
      return [...settled, forwardPut(io, record, { digest, places }), ...own, ...alarms.writes];
    });
  } catch (error) {
    if (error instanceof Superseded) alarms.refused((key) => currentOf(error.refused, key));
    throw error;
  }
  alarms.applied();
  await timers.see(io, waiting);
  const states = settled.map(({ key, value, version }) => ({
    key,
    value: value as Uint8Array,
    version,
  }));
  return { places, states };
}

/** What a refusal showed. Throws `condition_failed` where nothing else than a row of the caller's was in the way. */
function seenNow(
  seen: Seen,
  { record, sources, own }: Asked,
  settled: readonly Put[],
  refused: readonly RefusedWrite[],
): Seen {
  const ofOwn = refused.filter(({ write }) => own.includes(write));
  const changed = new Set(refused.map(({ write }) => keyId(write.key)));
  const isDone = changed.has(keyId(record));
  const isStateChanged = settled.some(({ key }) => changed.has(keyId(key)));
  if (ofOwn.length > 0 && !isDone && !isStateChanged) throw conditionFailed(own, ofOwn);
  return {
    record: currentOf(refused, record),
    states: sources.map(({ key }, index) =>
      changed.has(keyId(key)) ? currentOf(refused, key) : seen.states[index],
    ),
  };
}

function currentOf(refused: readonly RefusedWrite[], key: Key): Item | undefined {
  const id = keyId(key);
  return refused.find(({ write }) => keyId(write.key) === id)?.current;
}

function doneBefore(item: Item, { digest }: Asked): readonly ForwardedPlace[] {
  const before = readForward(item);
  if (before.digest !== digest) throw otherMessages();
  return before.places;
}

function otherMessages(): BrokerError {
  return new BrokerError(
    "idempotency_key_reused",
    "these messages were forwarded before, and something else was sent",
    { field: "sends", allowed: "what the first forward of these handles sent" },
  );
}

/** The queues that the handles are of, in the order of their keys: whoever wants the same ones takes them in the same order. */
function sourcesOf(groupId: number, receipts: readonly Receipt[]): Source[] {
  const sources = new Map<string, Source & { receipts: Source["receipts"][number][] }>();
  const seen = new Set<string>();
  receipts.forEach((receipt, index) => {
    if (receipt.groupId !== groupId) throw staleReceipts([index], "stale");
    const { topicId, place, offset, stamp } = receipt;
    const delivery = `${topicId} ${place} ${offset} ${stamp}`;
    if (seen.has(delivery)) return;
    seen.add(delivery);
    const consumer = { groupId, topicId, member: "" };
    const key = keys.queueState(consumer, place);
    const known = sources.get(keyId(key));
    if (known !== undefined) known.receipts.push({ receipt, index });
    else
      sources.set(keyId(key), {
        key,
        of: { consumer, place },
        receipts: [{ receipt, index }],
      });
  });
  return [...sources].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, source]) => source);
}

/** The states as they are once these messages are acknowledged. Throws `receipt_stale` and says which are not the caller's. */
function settledStates(
  io: Ports,
  sources: readonly Source[],
  states: readonly (Item | undefined)[],
): Put[] {
  const notOpen: number[] = [];
  let why: "stale" | "settled" | "left" = "stale";
  const puts = sources.map(({ key, receipts }, at): Put => {
    const item = states[at];
    const state = item === undefined ? newState(0) : decodeState(item.value);
    for (const { receipt, index } of receipts) {
      const standing = standingOf(state, receipt);
      if (standing.is === "open") settle(state, standing.delivery, standing.message);
      else {
        if (notOpen.length === 0) why = standing.is;
        notOpen.push(index);
      }
    }
    const expect = item === undefined ? "absent" : { version: item.version };
    return { kind: "put", key, value: encodeState(state), version: newVersion(io.random), expect };
  });
  if (notOpen.length > 0) throw staleReceipts(notOpen, why);
  return puts;
}

function staleReceipts(indices: readonly number[], is: "stale" | "settled" | "left"): BrokerError {
  const inOrder = [...indices].sort((a, b) => a - b);
  const { code, message, details } = stale({ is });
  const all = inOrder.map((index) => `receiptHandles[${index}]`);
  return new BrokerError(code, message, { ...details, field: all[0], stale: all });
}

interface BatchOfQueue extends QueueId {
  readonly retentionMs: number;
  readonly members: readonly Routed[];
  readonly batch: Batch;
}

/** What a forward sends, as it goes into the store. */
interface Plan {
  readonly batches: readonly BatchOfQueue[];
  readonly waiting: readonly Delayed[];
  /** Of all messages. */
  readonly count: number;
}

async function planned(
  io: Ports,
  { topics, log }: ConsumingParts,
  { id: forwardId, sources, own }: Asked,
  sends: readonly ForwardedTo[],
): Promise<Plan> {
  const bornAt = io.clock.now();
  const messages = messagesOf(sends);
  const queues = new Map<string, { topic: Topic; queue: number; id: Uint8Array; all: Routed[] }>();
  const waiting: Delayed[] = [];
  for (const [index, { topic: name, message: outgoing, path }] of messages.entries()) {
    const topic = await topics.get(io, name);
    const id = batchIdOf(forwardId, name);
    const { message, queue, dueAt } = routedTo(topic, outgoing, { id, bornAt, path });
    expectAccepted(topic, message, path, { isDelayed: dueAt !== undefined });
    const routed = { message, index, queue, dueAt };
    waiting.push(...delayedOf(topic, routed, id));
    if (dueAt !== undefined) continue;
    const of = queueName({ topicId: topic.id, queue });
    const known = queues.get(of);
    if (known === undefined) queues.set(of, { topic, queue, id, all: [routed] });
    else known.all.push(routed);
  }
  const batches = [...queues.values()].map(({ topic, queue, id, all }): BatchOfQueue => {
    const [first] = all;
    const bytes = encodeBatch({
      id,
      firstAttemptAt: 0,
      bornAt: first?.message.bornAt ?? bornAt,
      messages: all.map(({ message }) => message),
    });
    const { id: topicId, retentionMs } = topic;
    return { topicId, queue, retentionMs, members: all, batch: readBatch(bytes) };
  });
  const targets = batches.length + waiting.length;
  expectRoom({ sources: sources.length, rows: own.length, targets });
  for (const { batch, members } of [...batches, ...waiting])
    expectFits(
      batch.bytes.length,
      messages[members[0]?.index ?? 0]?.path ?? "sends",
      members.length,
    );
  expectBytes([...batches, ...waiting], own, log.settings);
  const longestWaitMs = Math.max(0, ...waiting.map(({ dueAt }) => dueAt - bornAt));
  const retentionMs = Math.max(0, ...[...queues.values()].map(({ topic }) => topic.retentionMs));
  const placed = await log.place(io, [...batches, ...waiting], {
    retentionMs: retentionMs + longestWaitMs,
  });
  return {
    batches: placed.filter((part): part is BatchOfQueue => !("dueAt" in part)),
    waiting: placed.filter((part): part is Delayed => "dueAt" in part),
    count: messages.length,
  };
}

function expectCount(sends: readonly ForwardedTo[]): void {
  const count = sends.reduce((sum, { messages }) => sum + messages.length, 0);
  const { messagesPerRequestMax } = limits;
  if (count > messagesPerRequestMax)
    throw invalid("sends", `${count} messages`, `at most ${messagesPerRequestMax} messages`);
}

/** Everything is one commit: a write for each queue received from, one for the note, two for each target, the caller's rows. */
function expectRoom({
  sources,
  rows,
  targets,
}: {
  readonly sources: number;
  readonly rows: number;
  readonly targets: number;
}): void {
  const { forwardTargetsMax } = limits;
  if (targets > forwardTargetsMax)
    throw invalid(
      "sends",
      `${targets} queues and messages that wait`,
      `at most ${forwardTargetsMax} queues and messages that wait`,
    );
  const writes = sources + 1 + 2 * targets + rows;
  if (writes > storeLimits.commitWritesMax)
    throw invalid(
      "receiptHandles",
      `of ${sources} queues, with ${targets} queues to send to and ${rows} rows: ${writes} writes`,
      `of so few queues that all is at most ${storeLimits.commitWritesMax} writes`,
    );
}

function expectBytes(
  parts: readonly { readonly batch: Batch }[],
  own: readonly Write[],
  { inlineBatchBytesMax }: Pick<LogSettings, "inlineBatchBytesMax">,
): void {
  const ofRows = own.reduce((sum, write) => sum + (write.kind === "put" ? itemBytes(write) : 0), 0);
  const total = parts
    .map(({ batch }) => batch.bytes.length)
    .filter((bytes) => bytes <= inlineBatchBytesMax)
    .reduce((sum, bytes) => sum + bytes, ofRows);
  const { forwardBytesMax: limit } = limits;
  if (total > limit)
    throw new BrokerError("batch_too_large", `sends become ${total} bytes, the limit is ${limit}`, {
      field: "sends",
      limit,
      actual: total,
    });
}
