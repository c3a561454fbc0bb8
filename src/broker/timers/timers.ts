import { concatBytes } from "../bytes.ts";
import { newVersion } from "../chance.ts";
import { commitUntilDecided } from "../decided-commit.ts";
import { BrokerError, isBrokerError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Batch } from "../log/batch.ts";
import type { Log } from "../log/log.ts";
import { keyReused, Superseded } from "../log/pending-append.ts";
import { Damaged, Unavailable } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import { type Item, keyId, storeLimits, type Version, type Write } from "../ports/store.ts";
import {
  dueAtOf,
  keys,
  type MinuteShard,
  minuteShardOf,
  offsetKey,
  partitions,
} from "../schema.ts";
import type { Topics } from "../topics/topics.ts";
import { AtOnce } from "./at-once.ts";
import {
  decodeTimer,
  encodeTimer,
  isWaiting,
  minuteShardOfTimer,
  queueOfTimer,
  startOf,
  type Timer,
  type TimerName,
  type TimerTarget,
  timerNameOf,
  waitingBatch,
} from "./timer.ts";

/** A message that is to wait. */
export interface NewTimer extends TimerTarget, TimerName {
  readonly messageId: string;
  readonly batch: Batch;
}

export interface WaitingMessage extends TimerTarget, TimerName {
  readonly messageId: string;
}

/** Timers of one put: each is one write, and each minute and shard is one more. */
const timersAtOnce = 48;
/** Bytes of one put, below the limit of a commit. */
const putBytesMax = 2 * 1_048_576;
const visitPageItems = 500;
/** What is not due yet is read for its first instant alone. */
const nextPageItems = 4;
/** Minutes are read in small pages: few have begun, and those to come may be many. */
const minutesPageItems = 64;
/**
 * So many are delivered at once in one process. Enough to fill a commit; more of them would only keep whoever sends at the
 * same time waiting.
 */
const deliveriesAtOnce = 128;
/** A minute is given up so long after its end: whoever was about to write into it has passed his deadline (rule 18 of the log). */
const minuteGraceMs = limits.appendDeadlineMs + 60_000;
/** Others may write into a minute that is being walked: so often it is looked at. */
const lookEveryMs = 250;
const minutesRemembered = 10_000;
/**
 * Whoever writes a message after it was due, by his own clock, tells so by an alarm. By the clock of the one who walks it
 * may have been due for so much longer then (ms).
 */
const writtenLateMs = 2 * limits.clockErrorMsMax;
/** Such alarms are set so often at most (ms): while this process lives, it does not need them. */
const lateAlarmEveryMs = 1_000;

/** A minute with timers that has begun, and the version of its entry. */
interface BegunMinute {
  readonly minuteShard: MinuteShard;
  readonly version: Version;
}

interface Delivered {
  /** Nothing that is due before this instant waits, but for what was written there since. */
  doneTo: number;
  waitingAt: number | undefined;
}

interface Visited {
  /** When there is something to do next (ms). */
  nextAt: number;
  /** Nothing that is due before this instant waits, but for what was written there since. */
  doneTo: number;
  /** Where that begins. */
  rewoundTo: number;
  running: Promise<number | undefined> | undefined;
}

/**
 * Messages that wait for their time. One is a row in the partition of its minute and shard, and delivery and recall turn
 * that row, each once, whoever tries it: delivery in the commit that appends the message. Whoever is woken walks the
 * minutes that have begun. Alarms make it punctual; a sweep delivers without them, later.
 */
export class Timers {
  readonly #log: Log;
  readonly #topics: Topics;
  readonly #visited = new Map<string, Visited>();
  /** Minutes whose entry and alarm this process has seen to, and when the alarm rings. */
  readonly #alarms = new Map<string, number>();
  readonly #damaged = new Set<string>();
  readonly #deliveries = new AtOnce(deliveriesAtOnce);
  #poke = new AbortController();
  #wakeAt = 0;
  /** Hears how late each message was (ms). */
  onDelivered: (latenessMs: number) => void = () => {};
  /** Hears of each message that cannot be read, once. */
  onDamaged: (error: Damaged) => void = () => {};

  constructor(log: Log, topics: Topics) {
    this.#log = log;
    this.#topics = topics;
  }

  /** Stores messages to wait. One that is there already, from an earlier attempt, is left as it is, whatever became of it. */
  async put(io: Ports, timers: readonly NewTimer[]): Promise<void> {
    for (const some of portions(timers)) await this.#putSome(io, some);
  }

  /**
   * The writes by which messages wait, for a commit of somebody else's: a put for each, and the entries of their minutes.
   * Once it was applied, and before anybody is answered, {@link seeTo} has them delivered in time.
   */
  puts(io: Ports, timers: readonly NewTimer[]): Write[] {
    const minutes = this.#minutesOf(timers, io.clock.now());
    return [
      ...timers.map((timer) => waitingPut(io, timer)),
      ...minutes.map((minuteShard) => minutePut(io, minuteShard)),
    ];
  }

  /** After the put and before the sender is answered (rule 18 of the log): has somebody there when they are due. */
  async seeTo(io: Ports, timers: readonly NewTimer[]): Promise<void> {
    const now = io.clock.now();
    for (const timer of timers) {
      const { dueAt } = timer;
      const minuteShard = minuteShardOfTimer(timer);
      const name = nameOf(minuteShard);
      const visited = this.#visited.get(name);
      if (visited !== undefined) {
        if (dueAt < visited.doneTo || visited.running !== undefined)
          visited.rewoundTo = Math.min(visited.rewoundTo, dueAt);
        visited.nextAt = Math.min(visited.nextAt, dueAt);
      }
      if (dueAt < this.#wakeAt) this.#poke.abort();
      await this.#setAlarm(io, minuteShard, { isLate: dueAt <= now, now });
    }
  }

  /**
   * Recalls a message that waits; again is fine. Throws `recall_too_late` with its place where it was delivered, and
   * `delayed_not_found` where none is known by this name: it never waited, or was done with a day ago.
   */
  async recall(io: Ports, name: TimerName): Promise<void> {
    const key = keys.timer(minuteShardOfTimer(name), name.dueAt, name.id);
    for (;;) {
      const [item] = await io.store.get([key]);
      if (item === undefined) throw delayedNotFound();
      const timer = decodeTimer(item);
      if (timer.state === "recalled") return;
      if (timer.state !== "waiting") throw tooLate(timer);
      const until = io.clock.now() + limits.appendDeadlineMs;
      const turned = turn(io, item, { ...timer, state: "recalled" });
      const { outcome } = await commitUntilDecided(io, [turned], until);
      if (outcome === "applied") return;
    }
  }

  /** Messages that wait, in the order of their minutes. `next`: where the next page begins. */
  async list(
    io: Ports,
    { topicId, after, limit }: { topicId?: number; after?: TimerName; limit: number },
  ): Promise<{ readonly waiting: WaitingMessage[]; readonly next: TimerName | undefined }> {
    const waiting: WaitingMessage[] = [];
    const first = after && minuteShardOfTimer(after);
    const from = first && { from: keys.minute(first).sort };
    for await (const { key } of allItems(io, { partition: partitions.minutes, ...from })) {
      const minuteShard = minuteShardOf(key.sort);
      const isFirst = minuteShard.minute === first?.minute && minuteShard.shard === first.shard;
      const behind =
        isFirst && after !== undefined
          ? { from: concatBytes([keys.timer(minuteShard, after.dueAt, after.id).sort, zero]) }
          : {};
      const range = { partition: partitions.timers(minuteShard), ...behind };
      for await (const item of allItems(io, range)) {
        const { state, topic, topicId: id, queue, messageId } = decodeTimer(item);
        if (state !== "waiting" || (topicId !== undefined && topicId !== id)) continue;
        const name = timerNameOf(item);
        if (waiting.length === limit) return { waiting, next: waiting.at(-1) };
        waiting.push({ ...name, topic, topicId: id, queue, messageId });
      }
    }
    return { waiting, next: undefined };
  }

  /**
   * Delivers what is due, once over all minutes that have begun. Bounded by what is due; safe to repeat, to interrupt,
   * and to run twice at once. Answers when there is something to do next, as far as is known.
   */
  async deliverDue(io: Ports): Promise<number | undefined> {
    const { running, nextAt } = await this.#beginVisits(io);
    const visits = await Promise.allSettled(running);
    for (const visit of visits) if (visit.status === "rejected") throw visit.reason;
    return visits
      .map((visit) => (visit.status === "fulfilled" ? visit.value : undefined))
      .reduce(earlier, nextAt);
  }

  /**
   * Delivers until `until`, sleeping in between: whoever is woken for a minute walks it to its end. What fails is told to
   * `onError` and tried again.
   */
  async walk(
    io: Ports,
    until: number,
    {
      signal,
      onError,
    }: { readonly signal?: AbortSignal; readonly onError: (error: unknown) => void },
  ): Promise<void> {
    const stop = () => this.#poke.abort();
    signal?.addEventListener("abort", stop);
    // Nobody waits for them: what is due elsewhere meanwhile is not late because of them.
    const underWay = new Map<Promise<unknown>, Promise<void>>();
    while (io.clock.now() < until && signal?.aborted !== true) {
      // Made before the look, so that what is written meanwhile is not slept over.
      this.#poke = new AbortController();
      this.#wakeAt = 0;
      let nextAt: number | undefined;
      try {
        const begun = await this.#beginVisits(io);
        ({ nextAt } = begun);
        for (const visit of begun.running) {
          if (underWay.has(visit)) continue;
          const ended = visit
            .then(() => {}, onError)
            .then(() => {
              underWay.delete(visit);
              this.#poke.abort();
            });
          underWay.set(visit, ended);
        }
      } catch (error) {
        onError(error);
      }
      const now = io.clock.now();
      this.#wakeAt = Math.min(nextAt ?? until, now + lookEveryMs, until);
      await io.clock.sleep(Math.max(1, this.#wakeAt - now), this.#poke.signal);
    }
    signal?.removeEventListener("abort", stop);
    await Promise.all(underWay.values());
  }

  /** An alarm rang for a minute: something may have been written into it behind what was done. */
  rewind(minuteShard: MinuteShard): void {
    const visited = this.#visited.get(nameOf(minuteShard));
    if (visited === undefined) return;
    visited.rewoundTo = 0;
    visited.nextAt = 0;
    this.#poke.abort();
  }

  async #putSome(io: Ports, timers: readonly NewTimer[]): Promise<void> {
    let missing = timers;
    while (missing.length > 0) {
      const until = io.clock.now() + limits.appendDeadlineMs;
      const result = await commitUntilDecided(io, this.puts(io, missing), until);
      const put = missing;
      if (result.outcome === "refused")
        missing = missing.filter((timer, index) => !isThere(timer, result.current[index]));
      if (result.outcome === "applied" || missing.length === 0) {
        await this.seeTo(io, put);
        return;
      }
    }
  }

  /** Those whose entry has to be written: of a minute that is over it may be gone, and of others it is not known. */
  #minutesOf(timers: readonly NewTimer[], now: number): MinuteShard[] {
    const wanted = new Map<string, MinuteShard>();
    for (const timer of timers) {
      const minuteShard = minuteShardOfTimer(timer);
      const name = nameOf(minuteShard);
      const isOver = startOf(minuteShard.minute + 1) <= now;
      if (isOver || !this.#alarms.has(name)) wanted.set(name, minuteShard);
    }
    return [...wanted.values()];
  }

  /** One for the minute as it begins; for what is written after it was due another, unless one rings later anyway. */
  async #setAlarm(
    io: Ports,
    minuteShard: MinuteShard,
    { isLate, now }: { readonly isLate: boolean; readonly now: number },
  ): Promise<void> {
    const name = nameOf(minuteShard);
    const setFor = this.#alarms.get(name);
    if (setFor !== undefined && (!isLate || setFor > now)) return;
    const at = isLate
      ? Math.max(now, (setFor ?? 0) + lateAlarmEveryMs)
      : startOf(minuteShard.minute);
    if (this.#alarms.size >= minutesRemembered) this.#alarms.clear();
    this.#alarms.set(name, at);
    try {
      await io.alarm.set(`timers/${name}`, at);
    } catch (error) {
      // They are stored; the sweep delivers without the alarm, and the next one for this minute tries again.
      this.#alarms.delete(name);
      if (!(error instanceof Unavailable)) throw error;
    }
  }

  /** Others may have given up a minute that was visited here. */
  #forgetAllBut(begun: readonly BegunMinute[]): void {
    if (this.#visited.size <= begun.length) return;
    const names = new Set(begun.map(({ minuteShard }) => nameOf(minuteShard)));
    for (const [name, { running }] of this.#visited)
      if (!names.has(name) && running === undefined) this.#visited.delete(name);
  }

  /**
   * Visits all minutes that have begun, but those where there is nothing to do yet. `nextAt`: when there is, or when a
   * minute to come begins.
   */
  async #beginVisits(io: Ports): Promise<{
    readonly running: Promise<number | undefined>[];
    readonly nextAt: number | undefined;
  }> {
    const now = io.clock.now();
    const begun: BegunMinute[] = [];
    let nextAt: number | undefined;
    const minutes = allItems(io, { partition: partitions.minutes }, minutesPageItems);
    for await (const { key, version } of minutes) {
      const minuteShard = minuteShardOf(key.sort);
      if (startOf(minuteShard.minute) > now) {
        nextAt = startOf(minuteShard.minute);
        break;
      }
      begun.push({ minuteShard, version });
    }
    this.#forgetAllBut(begun);
    const running: Promise<number | undefined>[] = [];
    for (const entry of begun) {
      const visited = this.#visitedOf(entry.minuteShard);
      if (visited.running === undefined && now < visited.nextAt) {
        nextAt = earlier(nextAt, visited.nextAt);
        continue;
      }
      // Two at once in one process would only get into each other's way.
      visited.running ??= this.#visit(io, entry, visited).finally(() => {
        visited.running = undefined;
      });
      running.push(visited.running);
    }
    return { running, nextAt };
  }

  #visitedOf(minuteShard: MinuteShard): Visited {
    const name = nameOf(minuteShard);
    const known = this.#visited.get(name);
    if (known !== undefined) return known;
    const visited: Visited = {
      nextAt: 0,
      doneTo: 0,
      rewoundTo: Number.POSITIVE_INFINITY,
      running: undefined,
    };
    this.#visited.set(name, visited);
    return visited;
  }

  /** Visits one minute and shard. Answers when there is something to do there next, as far as is known. */
  async #visit(
    io: Ports,
    { minuteShard, version }: BegunMinute,
    visited: Visited,
  ): Promise<number | undefined> {
    const begunAt = io.clock.now();
    const endsAt = startOf(minuteShard.minute + 1);
    const isOver = begunAt >= endsAt + minuteGraceMs;
    // A minute that is over is read from its beginning once more before it is given up.
    const from = isOver ? 0 : Math.min(visited.doneTo, visited.rewoundTo);
    visited.doneTo = from;
    visited.rewoundTo = Number.POSITIVE_INFINITY;
    // If this fails it is tried again.
    visited.nextAt = begunAt + lookEveryMs;
    const { doneTo, waitingAt } = await this.#deliver(io, minuteShard, from);
    visited.doneTo = doneTo;
    if (isOver && waitingAt === undefined) {
      const key = keys.minute(minuteShard);
      const until = io.clock.now() + limits.appendDeadlineMs;
      await io.store.commit([{ kind: "delete", key, expect: { version } }], until);
      this.#visited.delete(nameOf(minuteShard));
      return undefined;
    }
    // Others may write into a minute that lasts, and into one that has ended for as long as their deadline.
    const lookAt = begunAt < endsAt ? begunAt + lookEveryMs : endsAt + minuteGraceMs;
    const nextAt = Math.min(waitingAt ?? lookAt, lookAt);
    visited.nextAt = visited.rewoundTo < Number.POSITIVE_INFINITY ? begunAt : nextAt;
    return visited.nextAt;
  }

  /**
   * Delivers what is due of a minute from an instant on. Answers when the next is due, or is tried again, and up to which
   * instant nothing waits any more.
   */
  async #deliver(io: Ports, minuteShard: MinuteShard, fromDueAt: number): Promise<Delivered> {
    const delivered: Delivered = { doneTo: fromDueAt, waitingAt: undefined };
    let from = offsetKey(fromDueAt);
    let isSettled = true;
    for (;;) {
      const readAt = io.clock.now();
      const page = await io.store.scan({
        partition: partitions.timers(minuteShard),
        from,
        to: offsetKey(readAt + 1),
        limit: visitPageItems,
        bytesMax: limits.pullBytesMax,
      });
      const due = page.items.filter(isWaiting);
      const failedAt = await this.#deliverAll(io, due);
      const last = page.more ? page.items.at(-1) : undefined;
      // What others write late may come to lie where this page was empty.
      const settledTo = readAt - writtenLateMs;
      const readTo = last === undefined ? settledTo : dueAtOf(last.key.sort);
      if (isSettled) delivered.doneTo = Math.max(fromDueAt, Math.min(readTo, settledTo));
      isSettled &&= readTo <= settledTo;
      if (failedAt !== undefined) {
        // It is looked at again, and nothing from there on is done.
        delivered.doneTo = Math.min(delivered.doneTo, failedAt);
        delivered.waitingAt = earlier(delivered.waitingAt, io.clock.now() + lookEveryMs);
        isSettled = false;
      }
      if (last === undefined) {
        const nextAt = await nextDueAt(io, minuteShard, readAt + 1);
        return { ...delivered, waitingAt: earlier(delivered.waitingAt, nextAt) };
      }
      from = concatBytes([last.key.sort, zero]);
      // Where nothing had to be delivered, nobody else got a turn.
      if (due.length === 0) await io.clock.sleep(1);
    }
  }

  /** Answers when the first was due that has to be tried again. */
  async #deliverAll(io: Ports, due: readonly Item[]): Promise<number | undefined> {
    // Those of a queue together, so that they share commits.
    const byQueue = due.toSorted((a, b) => queueOfTimer(a) - queueOfTimer(b));
    const deliveries = await Promise.allSettled(
      byQueue.map((item) => this.#deliveries.run(() => this.#deliverOne(io, item))),
    );
    // Only now: none of them may still be under way when they are tried again.
    for (const delivery of deliveries) if (delivery.status === "rejected") throw delivery.reason;
    const failed = byQueue.filter((_, index) => {
      const delivery = deliveries[index];
      return delivery?.status === "fulfilled" && !delivery.value;
    });
    return failed.map((item) => timerNameOf(item).dueAt).reduce(earlier, undefined);
  }

  /** Whether nothing is left to do: it was delivered, or somebody else turned it. */
  async #deliverOne(io: Ports, item: Item): Promise<boolean> {
    let timer: Timer | undefined;
    try {
      timer = decodeTimer(item);
      const { topicId, queue } = timer;
      const topic = await this.#topics.get(io, timer.topic);
      if (topic.id !== topicId) return await this.#drop(io, item, timer);
      const delivered = { ...timer, state: "delivered" } as const;
      await this.#log.append(io, { topicId, queue }, waitingBatch(item), {
        retentionMs: topic.retentionMs,
        turn: ({ base: offset, storedAt }) =>
          turn(io, item, { ...delivered, offset, deliveredAt: storedAt }),
      });
      this.onDelivered(io.clock.now() - timerNameOf(item).dueAt);
      return true;
    } catch (error) {
      if (error instanceof Superseded) return true;
      if (error instanceof Damaged) return this.#passOver(item, error);
      if (!isBrokerError(error)) throw error;
      const { code } = error;
      if (timer !== undefined && (code === "topic_not_found" || code === "queue_not_found"))
        return await this.#drop(io, item, timer);
      // Nobody knows, or others were always faster: the row tells when it is looked at again.
      if (code === "outcome_unknown" || code === "contention") return false;
      throw error;
    }
  }

  /** One that is damaged is told of once and left where it is: others must not wait behind it. */
  #passOver({ key }: Item, error: Damaged): true {
    const name = keyId(key);
    if (!this.#damaged.has(name)) this.onDamaged(error);
    this.#damaged.add(name);
    return true;
  }

  async #drop(io: Ports, item: Item, timer: Timer): Promise<boolean> {
    const dropped = turn(io, item, { ...timer, state: "dropped" });
    const until = io.clock.now() + limits.appendDeadlineMs;
    const { outcome } = await io.store.commit([dropped], until);
    return outcome !== "unknown";
  }
}

const zero = Uint8Array.of(0);

/** Of two instants; `undefined` is never. */
function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}

function nameOf({ minute, shard }: MinuteShard): string {
  return `${minute}/${shard}`;
}

function minutePut(io: Ports, minuteShard: MinuteShard): Write {
  const value = zero;
  return { kind: "put", key: keys.minute(minuteShard), value, version: newVersion(io.random) };
}

function waitingPut(io: Ports, timer: NewTimer): Write {
  const { dueAt, id, batch, topic, topicId, queue, messageId } = timer;
  const record: Timer = {
    topic,
    topicId,
    queue,
    messageId,
    checksum: batch.checksum,
    state: "waiting",
  };
  return {
    kind: "put",
    key: keys.timer(minuteShardOfTimer(timer), dueAt, id),
    value: encodeTimer(record, batch),
    version: newVersion(io.random),
    expect: "absent",
  };
}

/** What became of a timer: kept for a day from when it is due, and longer than any attempt of the same send comes (rule 17 of the log). */
function turn(io: Ports, { key, version }: Item, timer: Timer) {
  const kept = Math.max(io.clock.now(), dueAtOf(key.sort)) + limits.timerKeptMs;
  return {
    kind: "put",
    key,
    value: encodeTimer(timer),
    version: newVersion(io.random),
    expiresAt: kept,
    expect: { version },
  } as const;
}

/** Whether an earlier attempt stored it. Throws where that was another message. */
function isThere({ batch }: NewTimer, item: Item | undefined): boolean {
  if (item === undefined) return false;
  if (decodeTimer(item).checksum !== batch.checksum) throw keyReused();
  return true;
}

/** For a name that was never given, or of what was done with long ago. */
export function delayedNotFound(): BrokerError {
  return new BrokerError("delayed_not_found", "no message waits, or waited, under this handle", {
    field: "recallHandle",
    allowed: "what a send answered, until a day after the message was due",
  });
}

function tooLate(timer: Timer): BrokerError {
  const { topic, queue } = timer;
  if (timer.state !== "delivered") {
    const message = "its topic was deleted before it was due";
    return new BrokerError("recall_too_late", message, { topic, queue });
  }
  const { offset } = timer;
  return new BrokerError("recall_too_late", "it has been delivered", { topic, queue, offset });
}

/** In portions that one commit takes each. */
function portions(timers: readonly NewTimer[]): NewTimer[][] {
  const all: NewTimer[][] = [];
  let bytes = 0;
  for (const timer of timers) {
    bytes += timer.batch.bytes.length;
    const last = all.at(-1);
    if (last === undefined || last.length === timersAtOnce || bytes > putBytesMax) {
      all.push([timer]);
      bytes = timer.batch.bytes.length;
    } else last.push(timer);
  }
  return all;
}

/** When the first message is due of those of a minute that wait and are due from an instant on. */
async function nextDueAt(
  io: Ports,
  minuteShard: MinuteShard,
  fromDueAt: number,
): Promise<number | undefined> {
  const range = { partition: partitions.timers(minuteShard), from: offsetKey(fromDueAt) };
  // Nearly always the first one; those before it were recalled.
  for await (const item of allItems(io, range, nextPageItems))
    if (isWaiting(item)) return timerNameOf(item).dueAt;
  return undefined;
}

async function* allItems(
  io: Ports,
  range: { readonly partition: Uint8Array; readonly from?: Uint8Array },
  limit: number = storeLimits.scanItemsMax,
): AsyncGenerator<Item> {
  let next = range;
  for (;;) {
    const page = await io.store.scan({
      ...next,
      limit,
      bytesMax: limits.pullBytesMax,
    });
    yield* page.items;
    const last = page.items.at(-1);
    if (!page.more || last === undefined) return;
    next = { ...range, from: concatBytes([last.key.sort, zero]) };
  }
}

/** The minute and shard that an alarm rings for; `undefined` for other alarms. */
export function minuteOfAlarm(id: string): MinuteShard | undefined {
  const [, minute, shard] = /^timers\/(\d+)\/(\d+)$/.exec(id) ?? [];
  return minute === undefined ? undefined : { minute: Number(minute), shard: Number(shard) };
}

/** Whoever is woken for a minute stays until nobody who began in it can still write into it. */
export function walkedUntil({ minute }: MinuteShard): number {
  return startOf(minute + 1) + writtenLateMs;
}
