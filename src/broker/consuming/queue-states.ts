import { assert } from "../assert.ts";
import { jitter, newVersion } from "../chance.ts";
import { commitUntilDecided } from "../decided-commit.ts";
import { BrokerError } from "../errors.ts";
import { Holds } from "../holds.ts";
import { limits } from "../limits.ts";
import type { Ports } from "../ports/ports.ts";
import { type Item, type Key, keyId, storeLimits, valueBytes, type Write } from "../ports/store.ts";
import { type ConsumerId, keys, partitions, queueOfState } from "../schema.ts";
import type { TimersAlong } from "../timers/timers.ts";
import { decodeState, encodeState, newState, type QueueState } from "./queue-state.ts";

/** A state that is being changed, and what goes along with it. */
export interface Draft {
  state: QueueState;
  /** A row is put also where it says no more than that there is none. */
  mustExist: boolean;
  /** What is put by the same commit, and done once that is durable, before anybody is answered. */
  readonly along: Along[];
}

export interface Along extends TimersAlong {
  afterwards(): Promise<void>;
}

/** Changes a draft, or leaves it as it is. Asked again, of a fresh draft, where somebody else was faster. */
export type Changing<T> = (draft: Draft) => T | Promise<T>;

interface Pending {
  readonly changing: Changing<unknown>;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** What a broker remembers of a row. Only commits are made by it, and they expect its version. */
interface Row {
  readonly key: Key;
  /** `undefined`: not known; null: there was none. */
  item: Item | null | undefined;
  waiting: Pending[];
  readonly holds: Holds;
  working: boolean;
}

const attemptsMax = 20;
const rowsRemembered = 50_000;
/** Writes that one change may bring, and their bytes. */
export const alongMax = { writes: 48, bytes: 1_572_864 } as const;
/** Behind changes that brought more than this the next one waits for the next commit. */
const alongBeforeLast = { writes: 50, bytes: 1_572_864 } as const;
assert(
  1 + alongBeforeLast.writes + alongMax.writes <= storeLimits.commitWritesMax,
  "the row and what goes along fit a commit",
);
assert(
  limits.queueStateBytesMax + alongBeforeLast.bytes + alongMax.bytes < storeLimits.commitBytesMax,
  "the row and what goes along fit a commit",
);

/**
 * The states of queues as one broker works on them: one commit of a row is under way at a time, and the changes that
 * arrive meanwhile are made together by the next one. So the acknowledgements and requests of many connections cost a few
 * writes. What is remembered saves reads and is never believed: a change rests on the version that it expects, and what
 * is judged without a change is judged by a row that was just read.
 */
export class QueueStates {
  readonly #rows = new Map<string, Row>();

  /** Changes the state of a queue. Resolves when it is durable, or nothing had to be changed. */
  change<T>(io: Ports, consumer: ConsumerId, place: number, changing: Changing<T>): Promise<T> {
    const row = this.#row(keys.queueState(consumer, place));
    return new Promise<T>((resolve, reject) => {
      row.waiting.push({ changing, resolve: resolve as Pending["resolve"], reject });
      if (!row.working) void this.#work(io, row);
    });
  }

  /** Resolves when nobody else in this process changes the state, until the caller says what lies there now, if he knows. */
  async hold(io: Ports, key: Key): Promise<(item: Item | undefined) => void> {
    const row = this.#row(key);
    const held = row.holds.ask();
    if (!row.working) void this.#work(io, row);
    const release = await held;
    return (item) => {
      row.item = item;
      release();
    };
  }

  /** The states of a topic's queues as they are now, by their places, in one read. */
  async scan(io: Ports, consumer: ConsumerId): Promise<Map<number, QueueState>> {
    const partition = partitions.queueStates(consumer);
    const page = await io.store.scan({ partition, limit: limits.queuesPerTopicMax + 1 });
    const states = new Map<number, QueueState>();
    for (const item of page.items) {
      states.set(queueOfState(item.key.sort), decodeState(item.value));
      const row = this.#row(item.key);
      if (!row.working) row.item = item;
    }
    return states;
  }

  /** Whether a commit of this state is under way here: who comes now waits for that one first. */
  isBusy(consumer: ConsumerId, place: number): boolean {
    return this.#rows.get(keyId(keys.queueState(consumer, place)))?.working === true;
  }

  #row(key: Key): Row {
    const name = keyId(key);
    const known = this.#rows.get(name);
    if (known !== undefined) return known;
    if (this.#rows.size >= rowsRemembered)
      for (const [other, { working }] of this.#rows) if (!working) this.#rows.delete(other);
    const row: Row = {
      key,
      item: undefined,
      waiting: [],
      holds: new Holds(),
      working: false,
    };
    this.#rows.set(name, row);
    return row;
  }

  /** Works for everybody who waits, through the ports of the first of them. Never rejects. */
  async #work(io: Ports, row: Row): Promise<void> {
    row.working = true;
    while (row.waiting.length > 0 || row.holds.areWanted) {
      await row.holds.grant();
      if (row.waiting.length === 0) continue;
      const taken: Pending[] = [];
      try {
        await this.#commitSome(io, row, taken);
      } catch (error) {
        row.item = undefined;
        for (const pending of taken.length > 0 ? taken : row.waiting.splice(0))
          pending.reject(error);
      }
    }
    row.working = false;
  }

  /** Commits the changes of those who wait and tells them. `taken` are those whom a failure concerns. */
  async #commitSome(io: Ports, row: Row, taken: Pending[]): Promise<void> {
    let isFresh = row.item === undefined;
    if (isFresh) row.item = (await io.store.get([row.key]))[0] ?? null;
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const before = row.item ?? undefined;
      const made = await makeChanges(row, before, taken);
      if (made.value === undefined) {
        // Nobody's change needs a commit that would tell whether what they were judged by is still so.
        if (!isFresh) {
          const current = (await io.store.get([row.key]))[0];
          isFresh = true;
          row.item = current ?? null;
          if (current?.version !== before?.version) continue;
        }
        for (const tell of made.tell) tell();
        return;
      }
      const { key } = row;
      const version = newVersion(io.random);
      const expect = before === undefined ? "absent" : { version: before.version };
      const put: Write = { kind: "put", key, value: made.value, version, expect };
      const until = io.clock.now() + limits.appendDeadlineMs;
      const writes = [put, ...made.writes];
      const outcome = await commitUntilDecided(io, writes, until);
      if (outcome.outcome === "applied") {
        row.item = { key, value: made.value, version };
        for (const { applied } of made.along) applied();
        for (const { afterwards } of made.along) await afterwards();
        for (const tell of made.tell) tell();
        return;
      }
      const { current } = outcome;
      const places = new Map(writes.map((write, index) => [keyId(write.key), index]));
      for (const { refused } of made.along)
        refused((at) => current[places.get(keyId(at)) ?? writes.length]);
      row.item = current[0] ?? null;
      isFresh = true;
      await io.clock.sleep(jitter(io.random, Math.min(200, 2 ** attempt)));
    }
    throw new BrokerError("contention", "others were always faster", { attempts: attemptsMax });
  }
}

interface Made {
  /** What is to be put; `undefined` where nothing has changed. */
  readonly value: Uint8Array | undefined;
  readonly writes: readonly Write[];
  readonly along: readonly Along[];
  readonly tell: readonly (() => void)[];
}

/** Asks everybody who was taken, and as many of those who wait as one commit has room for. One that fails changes nothing. */
async function makeChanges(row: Row, before: Item | undefined, taken: Pending[]): Promise<Made> {
  const initial = before?.value ?? encodeState(newState(0));
  let value = initial;
  let state = decodeState(value);
  const writes = new Map<string, Write>();
  const along: Along[] = [];
  let alongBytes = 0;
  let mustExist = false;
  const tell: (() => void)[] = [];
  for (let index = 0; ; index++) {
    if (index === taken.length) {
      const isFull = writes.size > alongBeforeLast.writes || alongBytes > alongBeforeLast.bytes;
      const next = isFull ? undefined : row.waiting.shift();
      if (next === undefined) break;
      taken.push(next);
    }
    const pending = taken[index] as Pending;
    const draft: Draft = { state, mustExist, along: [] };
    try {
      const result = await pending.changing(draft);
      ({ state } = draft);
      value = encodeState(state);
      mustExist = draft.mustExist;
      along.push(...draft.along);
      for (const write of draft.along.flatMap((each) => each.writes)) {
        writes.set(keyId(write.key), write);
        alongBytes += valueBytes(write.value);
      }
      tell.push(() => pending.resolve(result));
    } catch (error) {
      state = decodeState(value);
      tell.push(() => pending.reject(error));
    }
  }
  const isMissing = before === undefined && mustExist;
  const changed = along.length > 0 || isMissing || !areEqual(value, initial);
  return { value: changed ? value : undefined, writes: [...writes.values()], along, tell };
}

function areEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
