import { allItems, nextSort } from "../all-items.ts";
import { commitUntilDecided } from "../decided-commit.ts";
import { BrokerError } from "../errors.ts";
import { limits } from "../limits.ts";
import { keyReused, refusedOf, Superseded } from "../log/pending-append.ts";
import { Unavailable } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import type { Item, Key, Put, Version, Write } from "../ports/store.ts";
import { keys, type MinuteShard, minuteShardName, minuteShardOf, partitions } from "../schema.ts";
import { alarmOfMinute } from "./minute-alarm.ts";
import { claimedEntry, isClaimed, settledEntry } from "./minute-entry.ts";
import {
  decodeTimer,
  minuteShardOfTimer,
  startOf,
  type Timer,
  type TimerName,
  type TimerTarget,
  timerNameOf,
} from "./timer.ts";
import { type NewTimer, turn, waitingPut } from "./timer-writes.ts";

export interface WaitingMessage extends TimerTarget, TimerName {
  readonly messageId: string;
}

/** The entry of a minute and shard, as this process would put it. */
interface NewEntry {
  readonly name: string;
  readonly minuteShard: MinuteShard;
  readonly write: Put;
}

/** Timers that are put by a commit of somebody's. */
export interface TimersAlong {
  readonly writes: readonly Put[];
  /** The commit was applied. */
  applied(): void;
  /** It was refused: what lies under its keys. */
  refused(current: (key: Key) => Item | undefined): void;
}

/** Timers of one put: each is one write, and each minute and shard is one more. */
const timersAtOnce = 48;
/** Bytes of one put, below the limit of a commit. */
const putBytesMax = 2 * 1_048_576;
const minutesRemembered = 10_000;
/** Alarms for what is written after it was due are set so often at most (ms): while this process lives, it does not need them. */
const lateAlarmEveryMs = 1_000;

/**
 * Messages that wait for their time. One is a row in the partition of its minute and shard, and delivery and recall turn
 * that row, each once, whoever tries it.
 */
export class Timers {
  /** Minutes whose alarm somebody has seen to, and when it rings. */
  readonly #alarms = new Map<string, number>();
  /** Entries of minutes whose alarm this process is about to see to. */
  readonly #unsettled = new Map<string, Version>();
  /** Hears where each message is stored that waits, and when it is due, before its sender is answered. */
  onStored: (minuteShard: MinuteShard, dueAt: number) => void = () => {};

  /**
   * Stores messages to wait, as many as one commit takes. One that is there already, from an earlier attempt, is left as
   * it is, whatever became of it. None is stored after `until`: what became of the earlier attempt is forgotten one day.
   * What goes `along` in the commit demands something; where that is refused this throws `Superseded`.
   */
  async put(
    io: Ports,
    timers: readonly NewTimer[],
    until: number,
    along: readonly Write[] = [],
  ): Promise<void> {
    let missing = timers;
    while (missing.length > 0) {
      const own = this.along(io, missing);
      const writes = [...own.writes, ...along];
      const deadline = Math.min(io.clock.now() + limits.appendDeadlineMs, until);
      const result = await commitUntilDecided(io, writes, deadline);
      if (result.outcome === "applied") {
        own.applied();
        break;
      }
      const { current } = result;
      const refused = refusedOf(along, current.slice(own.writes.length));
      if (refused.length > 0) throw new Superseded(refused);
      own.refused((key) => current[writes.findIndex((write) => write.key === key)]);
      missing = missing.filter((timer, index) => !isThere(timer, current[index]));
    }
    await this.see(io, timers);
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
          ? { from: nextSort(keys.timer(minuteShard, after.dueAt, after.id).sort) }
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
   * The writes by which messages wait, for a commit: a put for each, and the entries of their minutes. Whoever makes it his
   * own says how it went, and then calls {@link see}, before anybody is answered.
   */
  along(io: Ports, timers: readonly NewTimer[]): TimersAlong {
    const entries = this.#entriesFor(io, timers, io.clock.now());
    return {
      writes: [
        ...timers.map((timer) => waitingPut(io, timer)),
        ...entries.map(({ write }) => write),
      ],
      applied: () => {
        for (const { name, write } of entries) this.#unsettled.set(name, write.version);
      },
      refused: (current) => {
        for (const entry of entries) this.#learn(io, entry, current(entry.write.key));
      },
    };
  }

  /** Has somebody there when they are due (rule 18 of the log). */
  async see(io: Ports, timers: readonly NewTimer[]): Promise<void> {
    const now = io.clock.now();
    for (const timer of timers) {
      const minuteShard = minuteShardOfTimer(timer);
      this.onStored(minuteShard, timer.dueAt);
      await this.#setAlarm(io, minuteShard, { isLate: timer.dueAt <= now, now });
    }
  }

  /** Of minutes that this process knows nothing of; and of those that are over, for theirs may have been removed. */
  #entriesFor(io: Ports, timers: readonly NewTimer[], now: number): NewEntry[] {
    const wanted = new Map<string, NewEntry>();
    for (const timer of timers) {
      const minuteShard = minuteShardOfTimer(timer);
      const name = minuteShardName(minuteShard);
      const isOver = startOf(minuteShard.minute + 1) <= now;
      if (!isOver && (this.#alarms.has(name) || this.#unsettled.has(name))) continue;
      const claim = claimedEntry(io, minuteShard);
      const write = isOver ? claim : { ...claim, expect: "absent" as const };
      wanted.set(name, { name, minuteShard, write });
    }
    return [...wanted.values()];
  }

  /** Somebody else put the entry. It says whether he sees to the alarm. */
  #learn(io: Ports, { name, minuteShard }: NewEntry, entry: Item | undefined): void {
    if (entry === undefined) return;
    if (isClaimed(io, entry)) this.#alarms.set(name, startOf(minuteShard.minute));
    else this.#unsettled.set(name, entry.version);
  }

  /** One for the minute as it begins; for what is written after it was due another, unless one rings later anyway. */
  async #setAlarm(
    io: Ports,
    minuteShard: MinuteShard,
    { isLate, now }: { readonly isLate: boolean; readonly now: number },
  ): Promise<void> {
    const name = minuteShardName(minuteShard);
    const setFor = this.#alarms.get(name);
    if (setFor !== undefined && (!isLate || setFor > now)) return;
    const at = isLate
      ? Math.max(now, (setFor ?? 0) + lateAlarmEveryMs)
      : startOf(minuteShard.minute);
    if (this.#alarms.size >= minutesRemembered) this.#alarms.clear();
    this.#alarms.set(name, at);
    try {
      await io.alarm.set(alarmOfMinute(minuteShard), at);
      await this.#settle(io, name, minuteShard);
    } catch (error) {
      // They are stored; the sweep delivers without the alarm, and the next one for this minute tries again.
      this.#alarms.delete(name);
      if (!(error instanceof Unavailable)) throw error;
    }
  }

  /** Tells others that they need not set the alarm. Where that fails, one of them sets it again. */
  async #settle(io: Ports, name: string, minuteShard: MinuteShard): Promise<void> {
    const version = this.#unsettled.get(name);
    if (version === undefined) return;
    this.#unsettled.delete(name);
    const settled = { ...settledEntry(io, minuteShard), expect: { version } };
    await io.store.commit([settled], io.clock.now() + limits.appendDeadlineMs);
  }
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

/** In portions that one commit takes each, so that each stands or falls by itself. */
export function portionsOf<T extends NewTimer>(timers: readonly T[]): T[][] {
  const all: T[][] = [];
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
