import { allItems, nextSort } from "../all-items.ts";
import { limits } from "../limits.ts";
import type { Log } from "../log/log.ts";
import type { Ports } from "../ports/ports.ts";
import type { Version } from "../ports/store.ts";
import {
  dueAtOf,
  keys,
  type MinuteShard,
  minuteShardName,
  minuteShardOf,
  offsetKey,
  partitions,
} from "../schema.ts";
import type { Topics } from "../topics/topics.ts";
import { Delivery } from "./delivery.ts";
import { walkedUntil, writtenLateMs } from "./minute-alarm.ts";
import { isWaiting, startOf, timerNameOf } from "./timer.ts";

const visitPageItems = 500;
/** What is not due yet is read for its first instant alone. */
const nextPageItems = 4;
/** Minutes are read in small pages: few have begun, and those to come may be many. */
const minutesPageItems = 64;
/** A minute is given up so long after its end: whoever was about to write into it has passed his deadline (rule 18 of the log). */
const minuteGraceMs = limits.appendDeadlineMs + 60_000;
/** Others may write into a minute that is being walked: so often it is looked at. */
const lookEveryMs = 250;

/** A minute with timers that has begun. With the version of its entry it is given up when it is over. */
interface BegunMinute {
  readonly minuteShard: MinuteShard;
  readonly version: Version | undefined;
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

interface WalkOptions {
  readonly signal?: AbortSignal;
  /** Hears what fails. It is tried again. */
  readonly onError: (error: unknown) => void;
}

interface Begun {
  readonly running: Promise<number | undefined>[];
  /** When a visit is worth while that is not made yet, or when a minute to come begins. */
  readonly nextAt: number | undefined;
}

/**
 * Whoever is woken walks the minutes that have begun and delivers what is due. Alarms make that punctual; a sweep does it
 * without them, later. Any number may walk at once, here and elsewhere.
 */
export class TimerWalker {
  readonly delivery: Delivery;
  readonly #visited = new Map<string, Visited>();
  #poke = new AbortController();
  #wakeAt = 0;

  constructor(log: Log, topics: Topics) {
    this.delivery = new Delivery(log, topics);
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

  /** Delivers until `until`, sleeping in between. */
  walk(io: Ports, until: number, options: WalkOptions): Promise<void> {
    return this.#walk(io, until, options, () => this.#beginVisits(io));
  }

  /**
   * Walks one minute and shard to its end, at most until `until`: what its alarm rings for. Others walk the other shards
   * then, and two in one shard would only do the same work twice.
   */
  walkMinute(
    io: Ports,
    minuteShard: MinuteShard,
    until: number,
    options: WalkOptions,
  ): Promise<void> {
    this.rewind(minuteShard);
    return this.#walk(io, Math.min(until, walkedUntil(minuteShard)), options, () => {
      const begun = { minuteShard, version: undefined };
      return this.#begin(io, [begun], io.clock.now());
    });
  }

  /** Something may have been written into a minute behind what was done. */
  rewind(minuteShard: MinuteShard): void {
    const visited = this.#visited.get(minuteShardName(minuteShard));
    if (visited === undefined) return;
    visited.rewoundTo = 0;
    visited.nextAt = 0;
    this.#poke.abort();
  }

  /** A message was written by this process: what is walked here sees it in time. */
  notice(minuteShard: MinuteShard, dueAt: number): void {
    const visited = this.#visited.get(minuteShardName(minuteShard));
    if (visited !== undefined) {
      if (dueAt < visited.doneTo || visited.running !== undefined)
        visited.rewoundTo = Math.min(visited.rewoundTo, dueAt);
      visited.nextAt = Math.min(visited.nextAt, dueAt);
    }
    if (dueAt < this.#wakeAt) this.#poke.abort();
  }

  async #walk(
    io: Ports,
    until: number,
    { signal, onError }: WalkOptions,
    begin: () => Promise<Begun> | Begun,
  ): Promise<void> {
    const stop = () => this.#poke.abort();
    signal?.addEventListener("abort", stop);
    // Nobody waits for them: what is due elsewhere meanwhile is not late because of them.
    const underWay = new Map<Promise<unknown>, Promise<void>>();
    // Once at least: a message may have been written into a minute that was over long before.
    do {
      // Made before the look, so that what is written meanwhile is not slept over.
      this.#poke = new AbortController();
      this.#wakeAt = 0;
      let nextAt: number | undefined;
      try {
        const begun = await begin();
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
    } while (io.clock.now() < until && signal?.aborted !== true);
    signal?.removeEventListener("abort", stop);
    await Promise.all(underWay.values());
  }

  /** Others may have given up a minute that was visited here. */
  #forgetAllBut(begun: readonly BegunMinute[]): void {
    if (this.#visited.size <= begun.length) return;
    const names = new Set(begun.map(({ minuteShard }) => minuteShardName(minuteShard)));
    for (const [name, { running }] of this.#visited)
      if (!names.has(name) && running === undefined) this.#visited.delete(name);
  }

  /**
   * Visits all minutes that have begun, but those where there is nothing to do yet. `nextAt`: when there is, or when a
   * minute to come begins.
   */
  async #beginVisits(io: Ports): Promise<Begun> {
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
    const visits = this.#begin(io, begun, now);
    return { ...visits, nextAt: earlier(nextAt, visits.nextAt) };
  }

  #begin(io: Ports, begun: readonly BegunMinute[], now: number): Begun {
    let nextAt: number | undefined;
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
    const name = minuteShardName(minuteShard);
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
    if (isOver && waitingAt === undefined && version !== undefined) {
      const key = keys.minute(minuteShard);
      const until = io.clock.now() + limits.appendDeadlineMs;
      await io.store.commit([{ kind: "delete", key, expect: { version } }], until);
      this.#visited.delete(minuteShardName(minuteShard));
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
      const failedAt = (await this.delivery.deliver(io, due))?.dueAt;
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
      from = nextSort(last.key.sort);
      // Where nothing had to be delivered, nobody else got a turn.
      if (due.length === 0) await io.clock.sleep(1);
    }
  }
}

/** Of two instants; `undefined` is never. */
function earlier(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
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
