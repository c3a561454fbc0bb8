import { assert } from "../assert.ts";
import { jitter, newVersion } from "../chance.ts";
import { commitUntilDecided, outcomeUnknown } from "../decided-commit.ts";
import { BrokerError } from "../errors.ts";
import { Holds } from "../holds.ts";
import { limits } from "../limits.ts";
import { Damaged } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import type { Item, Put, Write } from "../ports/store.ts";
import { keys, offsetKey, partitions, type QueueId } from "../schema.ts";
import { AppendGroup } from "./append-group.ts";
import type { Batch } from "./batch.ts";
import {
  type BatchRow,
  encodeBatchRow,
  type PlacedBatch,
  placedBatches,
  readBatchRow,
  rowHeadBytes,
} from "./batch-row.ts";
import { endOfRows } from "./end-of-rows.ts";
import { largeBatchUntil } from "./large-batches.ts";
import type { LogSettings } from "./log-settings.ts";
import {
  type Along,
  type Appended,
  PendingAppend,
  type RefusedWrite,
  refusedOf,
  Superseded,
} from "./pending-append.ts";
import { rowsBelow, rowsFrom } from "./queue-rows.ts";
import { type DirectoryEntry, hasExpired, isIn, type OpenSegment } from "./segment.ts";
import type { SegmentChanges } from "./segment-changes.ts";
import type { SegmentDirectory } from "./segment-directory.ts";
import { lookBackTo, TailChain } from "./tail-chain.ts";

export interface AppendOptions {
  /** A segment that is opened for this batch keeps it so long (ms). */
  readonly retentionMs: number;
  /** What else the commit does in which the batch lands; where that is refused the append fails as `Superseded`. */
  readonly along?: Along | undefined;
}

/** The end of a queue as whoever holds it met it, and the writes by which a batch lands there. */
export interface RowAtEnd extends Appended {
  /** The row, and the check that its segment is still open. */
  readonly writes: readonly [Put, Write];
  /** The commit counts if it is applied by then (rule 4 of the log). */
  readonly until: number;
  /** The commit was applied. */
  landed(): void;
  /** It was refused, or nobody knows: what is known of the end of the queue is worth nothing. */
  failed(current?: readonly (Item | undefined)[]): void;
}

/** So often the directory may have changed under an append before its sender is told. */
const turnsMax = 20;
/** So long an append is tried against contention before its sender is told. */
export const patienceMs = 10_000;
/** A remembered tail is used while the chance that somebody else appended since is below this: a refused put costs as much as five reads. */
const raceChanceMax = 0.2;
const rateWindowMs = 1_000;
const tailAgeMsMax = 10_000;
const backoffRoundTrips = 3;
const backoffMsMax = 100;

/**
 * How long to wait after a refusal (ms). The same few round trips for everybody, however often he was refused: a back-off
 * that grows lets the lucky starve the others (scripts/contention.ts).
 */
export function backoffMs(io: Ports, issuedAt: number): number {
  const pauseMs = backoffRoundTrips * Math.max(1, io.clock.now() - issuedAt);
  return jitter(io.random, Math.min(backoffMsMax, pauseMs));
}

/**
 * Appends to one queue: one conditional put at the tail, at most one in flight in this process; what arrives meanwhile
 * goes together into the next row (group commit). Any number of appenders in other processes may work on the same
 * queue: whoever is refused learns what is there and tries behind it.
 */
export class QueueAppender {
  readonly #queue: QueueId;
  readonly #directory: SegmentDirectory;
  readonly #changes: SegmentChanges;
  readonly #settings: LogSettings;
  readonly #onAppend: (tail: TailChain) => void;
  readonly #onSeal: (io: Ports) => Promise<void>;
  #waiting: PendingAppend[] = [];
  readonly #holds = new Holds();
  #working = false;
  #segment: ActiveSegment | undefined;
  #chain: TailChain | undefined;
  /** Rows a millisecond that others append here, averaged over about a second. */
  #foreignRate = 0;
  #rateSeenAt = 0;

  constructor(options: {
    readonly queue: QueueId;
    readonly directory: SegmentDirectory;
    readonly changes: SegmentChanges;
    readonly settings: LogSettings;
    /** Called when rows were added, by whomever. */
    readonly onAppend: (tail: TailChain) => void;
    /** Called when a segment was sealed here, so that there is work to do. */
    readonly onSeal: (io: Ports) => Promise<void>;
  }) {
    this.#queue = options.queue;
    this.#directory = options.directory;
    this.#changes = options.changes;
    this.#settings = options.settings;
    this.#onAppend = options.onAppend;
    this.#onSeal = options.onSeal;
  }

  /** Resolves when the batch is durable, with its place. A batch whose id landed before gets the place that it has. */
  append(io: Ports, batch: Batch, options: AppendOptions): Promise<Appended> {
    return new Promise((resolve, reject) => {
      const { retentionMs, along } = options;
      const giveUpAt = io.clock.now() + patienceMs;
      const asked = { giveUpAt, retentionMs, along };
      this.#waiting.push(new PendingAppend(batch, asked, { resolve, reject }));
      if (!this.#working) void this.#work(io);
    });
  }

  /** Resolves when nobody else in this process appends here, until the caller lets go of the queue. */
  hold(io: Ports): Promise<() => void> {
    const held = this.#holds.ask();
    if (!this.#working) void this.#work(io);
    return held;
  }

  /** For whoever holds the queue: how a batch lands at its end, in a commit of his. */
  async rowAtEnd(io: Ports, batch: Batch, retentionMs: number): Promise<RowAtEnd> {
    const chain = await this.#tail(io, { batch, retentionMs });
    if (chain.sealed) {
      this.#directory.forget(this.#queue);
      return await this.rowAtEnd(io, batch, retentionMs);
    }
    const segment = this.#segment;
    assert(segment !== undefined, "a tail was read");
    const issuedAt = io.clock.now();
    const storedAt = Math.max(chain.storedAt, issuedAt);
    const base = chain.offset;
    const { puts, bytes } = this.#rowPuts(io, chain, [[batch]], { segment, storedAt });
    const [row] = puts;
    assert(row !== undefined, "a batch lies in a row");
    return {
      base,
      storedAt,
      writes: [row, entryCheck(this.#queue, segment)],
      until: deadlineOf(chain, segment),
      landed: () => {
        const placed = [{ base, storedAt, batch }];
        this.#grown(io, chain, placed, { issuedAt, rows: 1, bytes });
      },
      failed: (current) => {
        this.#chain = undefined;
        if (current === undefined) return;
        const [taken, entry] = current;
        if (taken !== undefined) this.#noteForeignRows(io.clock.now(), 1);
        if (entry?.version !== segment.entry.version) this.#directory.forget(this.#queue);
      },
    };
  }

  /** Works for everybody who waits, through the ports of the first of them, until nobody does. Never rejects. */
  async #work(io: Ports): Promise<void> {
    this.#working = true;
    while (this.#waiting.length > 0 || this.#holds.areWanted) {
      await this.#holds.grant();
      const [first] = this.#waiting;
      if (first === undefined) continue;
      let taken: readonly PendingAppend[] = [];
      try {
        const chain = await this.#tail(io, first);
        await this.#lookBack(io, chain);
        const group = this.#takeGroup(io, chain);
        taken = group.members;
        if (taken.length > 0) await this.#land(io, chain, group);
      } catch (error) {
        this.#chain = undefined;
        const concerned = taken.length > 0 ? taken : this.#waiting.splice(0);
        for (const pending of concerned) pending.fail(error as Error);
      }
    }
    this.#working = false;
  }

  /** The tail of a segment that takes appends, this one as well: opens, seals and moves on until there is one. */
  async #tail(io: Ports, first: Pick<PendingAppend, "batch" | "retentionMs">): Promise<TailChain> {
    const { retentionMs } = first;
    for (let turn = 1; turn <= turnsMax; turn++) {
      const entry = await this.#directory.last(io, this.#queue);
      let next: DirectoryEntry | undefined;
      if (isIn(entry, "empty")) {
        next = await this.#changes.open(io, this.#queue, entry, retentionMs);
      } else if (isIn(entry, "open") && hasExpired(entry, io.clock.now())) {
        await this.#changes.lose(io, this.#queue, entry);
      } else if (isIn(entry, "open")) {
        const chain = await this.#chainOf(io, entry);
        const fits = this.#outlivesSegment(first);
        if (chain !== undefined && fits && !this.#isFull(io, entry, chain)) return chain;
        if (chain !== undefined) {
          const reopen = { retentionMs };
          next = await this.#changes.seal(io, this.#queue, entry, chain, { reopen });
          chain.sealed = next !== undefined && chain.rows > 0;
          if (next !== undefined) await this.#onSeal(io);
        }
      }
      // Otherwise somebody else was faster, or what was remembered is out of date.
      if (next === undefined) this.#directory.forget(this.#queue);
      else this.#directory.wrote(this.#queue, next);
    }
    throw contended(this.#queue, turnsMax);
  }

  #isFull(
    io: Ports,
    { segment }: DirectoryEntry<OpenSegment>,
    { rows, bytes }: TailChain,
  ): boolean {
    const { segmentBytesMax, segmentRowsMax } = this.#settings;
    return bytes >= segmentBytesMax || rows >= segmentRowsMax || io.clock.now() >= segment.sealAt;
  }

  /** A large batch has to be there for as long as a row that points to it. */
  #outlivesSegment({ batch: { large } }: Pick<PendingAppend, "batch">): boolean {
    return (
      large === undefined ||
      this.#segment === undefined ||
      largeBatchUntil(large) >= this.#segment.rowsUntil
    );
  }

  /** The end of an open segment: from memory where it is fresh and others are quiet, else read. `undefined` behind a seal. */
  async #chainOf(io: Ports, entry: DirectoryEntry<OpenSegment>): Promise<TailChain | undefined> {
    const issuedAt = io.clock.now();
    this.#enter(entry);
    const known = this.#chain;
    const age = known === undefined ? Number.POSITIVE_INFINITY : issuedAt - known.issuedAt;
    if (known !== undefined && age < tailAgeMsMax && age * this.#foreignRate < raceChanceMax)
      return known;

    const { topicId, queue } = this.#queue;
    const { base, segment } = entry;
    const end = await endOfRows(io, { topicId, queue, base, part: segment.part });
    if (end === undefined) return undefined;
    const returnedAt = io.clock.now();
    this.#noteForeignRows(returnedAt, known === undefined || known.offset === end.offset ? 0 : 1);
    if (known?.offset === end.offset) {
      known.issuedAt = issuedAt;
      return known;
    }
    const storedAt = Math.max(end.storedAt, segment.after);
    this.#chain = new TailChain({ ...end, storedAt, issuedAt, returnedAt });
    return this.#chain;
  }

  /** Keeps what is known of the end of the queue where this segment begins at it. */
  #enter(entry: DirectoryEntry<OpenSegment>): void {
    const { base, segment, readAt } = entry;
    const current = this.#segment;
    if (current?.entry === entry) return;
    if (current?.base !== base || current.part !== segment.part) {
      const follows = this.#chain?.sealed === true && this.#chain.offset === base;
      if (follows) this.#chain?.enterNextSegment();
      else this.#chain = undefined;
    }
    const { part, sealAt, rowsUntil, after } = segment;
    const partition = partitions.batches(this.#queue, { base, part });
    this.#segment = { entry, base, part, partition, readAt, sealAt, rowsUntil, after };
  }

  /** Reads back until every batch that waits is either found or surely has not landed (rules 1 and 2 of the log). */
  async #lookBack(io: Ports, chain: TailChain): Promise<void> {
    const wanted = new Map<string, PendingAppend[]>();
    let backTo = Number.POSITIVE_INFINITY;
    for (const pending of this.#waiting) {
      if (pending.coveredIn === chain || chain.landingOf(pending.batch) !== undefined) continue;
      if (chain.covers(pending.batch)) pending.coveredIn = chain;
      else {
        const id = pending.batch.idKey;
        wanted.set(id, [...(wanted.get(id) ?? []), pending]);
        backTo = Math.min(backTo, lookBackTo(pending.batch));
      }
    }
    if (wanted.size === 0) return;
    try {
      await this.#search(io, chain, { wanted, backTo });
      for (const pending of [...wanted.values()].flat()) pending.coveredIn = chain;
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      // It may lie in what cannot be read. Those who ask for nothing in there go on.
      const lost = new Set([...wanted.values()].flat());
      this.#waiting = this.#waiting.filter((pending) => !lost.has(pending));
      for (const pending of lost) pending.fail(outcomeUnknown());
    }
  }

  async #search(
    io: Ports,
    chain: TailChain,
    { wanted, backTo }: { wanted: ReadonlyMap<string, unknown>; backTo: number },
  ): Promise<void> {
    let expectedEnd = chain.offset;
    for await (const row of this.#rowsBackTo(io, backTo, expectedEnd)) {
      if (row.base + row.count !== expectedEnd) throw brokenChain(this.#queue);
      if (row.storedAt < backTo) return;
      for (const { base, storedAt, batch } of placedBatches(row)) {
        if (wanted.has(batch.idKey))
          chain.recall(batch, { base, storedAt, learnedAt: io.clock.now() });
      }
      expectedEnd = row.base;
    }
  }

  /** Rows from the tail downwards, from one segment into the one before, as long as any can have been stored since. */
  async *#rowsBackTo(io: Ports, backTo: number, tail: number): AsyncGenerator<BatchRow> {
    assert(this.#segment !== undefined, "a tail was read");
    let { base, partition, after } = this.#segment;
    for (let end = tail; ; ) {
      for await (const row of rowsBelow(io, partition, end)) {
        yield row;
        end = row.base;
      }
      if (end !== base) throw brokenChain(this.#queue);
      if (base === 0 || after < backTo) return;
      const before = await this.#directory.below(io, this.#queue, base - 1);
      if (before === undefined) {
        // The last append to one that is gone was at least so long ago, which is before any of these was tried first,
        // unless this process was stopped since they came.
        const keptMs = Math.min(this.#settings.rowsKeptMs, limits.rowLifeMsMin);
        const appendedBefore = io.clock.now() - keptMs + 4 * limits.clockErrorMsMax;
        if (backTo < appendedBefore) throw brokenChain(this.#queue);
        return;
      }
      if (!isIn(before, "sealed", "archived") || before.segment.end !== base)
        throw brokenChain(this.#queue);
      ({ base } = before);
      ({ after } = before.segment);
      partition = partitions.batches(this.#queue, { base, part: before.segment.part });
    }
  }

  /** Answers those that have landed already and takes as many of the others as fit one commit, in their order. */
  #takeGroup(io: Ports, chain: TailChain): AppendGroup {
    const group = new AppendGroup(this.#settings.groupBytesMax);
    const members = new Map<unknown, PendingAppend>();
    const later: PendingAppend[] = [];
    for (const pending of this.#waiting) {
      // Without a first attempt nobody asked for it to land once, whatever id it carries.
      const id = pending.batch.firstAttemptAt > 0 ? pending.batch.idKey : pending;
      const landing = chain.landingOf(pending.batch);
      const twin = members.get(id);
      if (landing !== undefined) this.#answer(io, chain, pending, landing);
      else if (twin !== undefined) twin.join(pending);
      else if (pending.coveredIn === chain && this.#outlivesSegment(pending) && group.add(pending))
        members.set(id, pending);
      else later.push(pending);
    }
    this.#waiting = later;
    return group;
  }

  /** Puts the group at the tail; refused, it learns what lies there and tries behind it. Whom a seal stops waits again. */
  async #land(io: Ports, chain: TailChain, taken: AppendGroup): Promise<void> {
    const segment = this.#segment;
    assert(segment !== undefined, "a tail was read");
    let group = taken;
    for (let refusals = 0; group.members.length > 0; refusals++) {
      const issuedAt = io.clock.now();
      if (chain.sealed || issuedAt >= segment.sealAt) {
        if (chain.sealed) this.#directory.forget(this.#queue);
        this.#waiting.unshift(...group.members);
        return;
      }
      const storedAt = Math.max(issuedAt, chain.storedAt);
      const { puts, bytes } = this.#rowPuts(io, chain, group.rows, { segment, storedAt });
      const along = alongOf(group.members, { base: chain.offset, storedAt });
      const writes = group.hasAlong
        ? [...puts, ...along.flatMap((each) => each.writes), entryCheck(this.#queue, segment)]
        : puts;
      const result = await commitUntilDecided(io, writes, deadlineOf(chain, segment));
      if (result.outcome === "applied") {
        this.#landed(io, chain, group.members, { storedAt, issuedAt, rows: puts.length, bytes });
        return;
      }
      const current = result.current[0];
      let left: readonly PendingAppend[];
      if (current !== undefined) {
        const { partition } = segment;
        const refusal = { current, partition, refusals, issuedAt };
        left = await this.#refused(io, chain, group.members, refusal);
      } else {
        // A put that was held up for longer than any deadline may lie where the rows of a deleted topic lay.
        if (!group.hasAlong) throw brokenChain(this.#queue);
        const others = result.current.slice(puts.length);
        left = this.#superseded(along, others, group.members, segment);
      }
      group = new AppendGroup(this.#settings.groupBytesMax);
      // Fewer batches may need more rows: whom there is no room for waits again.
      this.#waiting.unshift(...left.filter((pending) => !group.add(pending)));
    }
  }

  #rowPuts(
    io: Ports,
    chain: TailChain,
    rows: readonly (readonly Batch[])[],
    { segment, storedAt }: { segment: ActiveSegment; storedAt: number },
  ): { readonly puts: Put[]; readonly bytes: number } {
    const { partition, rowsUntil: expiresAt } = segment;
    let { offset, rows: index, bytes: segmentBytes } = chain;
    const puts = rows.map((batches): Put => {
      const key = { partition, sort: offsetKey(offset) };
      offset += batches.reduce((sum, batch) => sum + batch.count, 0);
      segmentBytes += batches.reduce((sum, { bytes }) => sum + bytes.length, rowHeadBytes);
      const value = encodeBatchRow({ storedAt, index, segmentBytes }, batches);
      index++;
      return {
        kind: "put",
        key,
        value,
        version: newVersion(io.random),
        expiresAt,
        expect: "vacant",
      };
    });
    return { puts, bytes: segmentBytes - chain.bytes };
  }

  #landed(
    io: Ports,
    chain: TailChain,
    group: readonly PendingAppend[],
    {
      storedAt,
      issuedAt,
      rows,
      bytes,
    }: { storedAt: number; issuedAt: number; rows: number; bytes: number },
  ): void {
    const now = io.clock.now();
    assert(this.#segment !== undefined, "a tail was read");
    if (now > deadlineOf(chain, this.#segment)) throw outcomeUnknown();
    let base = chain.offset;
    const placed = group.map(({ batch }) => {
      const place = { base, storedAt, batch };
      base += batch.count;
      return place;
    });
    this.#grown(io, chain, placed, { issuedAt, rows, bytes });
    group.forEach((pending, index) => {
      const place = placed[index];
      assert(place !== undefined, "every member of a group has its place");
      pending.succeed({
        base: place.base,
        storedAt: place.storedAt,
        checksum: place.batch.checksum,
        learnedAt: now,
      });
    });
  }

  /** Rows of this process lie behind what was the tail. */
  #grown(
    io: Ports,
    chain: TailChain,
    placed: readonly PlacedBatch[],
    { issuedAt, ...added }: { issuedAt: number; rows: number; bytes: number },
  ): void {
    const learnedAt = io.clock.now();
    chain.linkOwn(placed, { learnedAt, ...added });
    chain.issuedAt = issuedAt;
    this.#noteForeignRows(learnedAt, 0);
    this.#onAppend(chain);
  }

  /** Reads every row that came in between, answers those of the group that are among them, and hands back the rest. */
  async #refused(
    io: Ports,
    chain: TailChain,
    group: readonly PendingAppend[],
    refusal: {
      readonly current: Item;
      readonly partition: Uint8Array;
      readonly refusals: number;
      readonly issuedAt: number;
    },
  ): Promise<PendingAppend[]> {
    const { current, partition, refusals, issuedAt } = refusal;
    const now = io.clock.now();
    if (chain.link(readBatchRow(current), now) === undefined) throw brokenChain(this.#queue);
    this.#noteForeignRows(now, 1);
    await io.clock.sleep(backoffMs(io, issuedAt));
    if (!chain.sealed) {
      for await (const row of rowsFrom(io, partition, chain.offset)) {
        if (chain.link(row, io.clock.now()) === undefined) throw brokenChain(this.#queue);
        this.#noteForeignRows(io.clock.now(), 1);
      }
    }
    this.#onAppend(chain);
    const left: PendingAppend[] = [];
    for (const pending of group) {
      const landing = chain.landingOf(pending.batch);
      if (landing !== undefined) this.#answer(io, chain, pending, landing);
      else if (io.clock.now() > pending.giveUpAt)
        pending.fail(contended(this.#queue, refusals + 1));
      else left.push(pending);
    }
    return left;
  }

  /** The tail was free: what was to go along with some was refused, or the segment is no longer what it was. */
  #superseded(
    along: readonly AlongOfMember[],
    current: readonly (Item | undefined)[],
    members: readonly PendingAppend[],
    { entry }: ActiveSegment,
  ): PendingAppend[] {
    const lost = new Map<PendingAppend, RefusedWrite[]>();
    let from = 0;
    for (const { pending, writes } of along) {
      const refused = refusedOf(writes, current.slice(from, from + writes.length));
      if (refused.length > 0) lost.set(pending, refused);
      from += writes.length;
    }
    for (const [pending, refused] of lost) pending.fail(new Superseded(refused));
    if (lost.size > 0) return members.filter((pending) => !lost.has(pending));
    // Then the check was refused; where it was not, something lies above the vacant tail.
    if (current.at(-1)?.version === entry.version) throw brokenChain(this.#queue);
    // The entry: what is known of the end of the queue rests on it.
    this.#directory.forget(this.#queue);
    this.#chain = undefined;
    this.#waiting.unshift(...members);
    return [];
  }

  /** "It has landed" is an answer under the same deadline as an acknowledgement (rule 4 of the log). */
  #answer(
    io: Ports,
    chain: TailChain,
    pending: PendingAppend,
    landing: Parameters<PendingAppend["succeed"]>[0],
  ): void {
    assert(this.#segment !== undefined, "a tail was read");
    if (io.clock.now() > deadlineOf(chain, this.#segment)) pending.fail(outcomeUnknown());
    else pending.succeed(landing);
  }

  #noteForeignRows(now: number, rows: number): void {
    const elapsed = Math.max(0, now - this.#rateSeenAt);
    this.#foreignRate = (this.#foreignRate * rateWindowMs + rows) / (rateWindowMs + elapsed);
    this.#rateSeenAt = now;
  }
}

/** The segment that takes appends, as the appender works on it. */
interface ActiveSegment {
  readonly entry: DirectoryEntry;
  readonly base: number;
  readonly part: number;
  readonly partition: Uint8Array;
  readonly readAt: number;
  readonly sealAt: number;
  readonly rowsUntil: number;
  readonly after: number;
}

interface AlongOfMember {
  readonly pending: PendingAppend;
  readonly writes: readonly Write[];
}

/** What goes along when these land one behind the other. */
function alongOf(members: readonly PendingAppend[], first: Appended): AlongOfMember[] {
  let { base } = first;
  return members.flatMap((pending) => {
    const place = { ...first, base };
    base += pending.batch.count;
    const { along } = pending;
    if (along === undefined) return [];
    const writes = along.writes(place);
    assert(writes.length === along.keys.length, "what goes along is one write for each key");
    return [{ pending, writes }];
  });
}

/**
 * A commit that consumes something must not land where nobody reads: it says that the segment is still open. A lone
 * append needs no such check, for it is not acknowledged after its deadline, and nothing is lost by it.
 */
function entryCheck(queue: QueueId, { base, entry }: ActiveSegment): Write {
  return {
    kind: "check",
    key: keys.segment(queue, base),
    expect: { version: entry.version },
  };
}

/** A tail is as old as the older of the two reads that it rests on (rule 4 of the log). */
function deadlineOf({ issuedAt }: TailChain, { readAt }: ActiveSegment): number {
  return Math.min(issuedAt, readAt) + limits.appendDeadlineMs;
}

function brokenChain({ queue }: QueueId): BrokerError {
  return new BrokerError(
    "outcome_unknown",
    "the queue's rows do not follow each other; the batch may be among the missing",
    { queue },
  );
}

function contended({ queue }: QueueId, attempts: number): BrokerError {
  return new BrokerError(
    "contention",
    "others were always faster; send in batches or use more queues",
    { queue, attempts },
  );
}
