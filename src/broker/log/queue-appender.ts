import { assert } from "../assert.ts";
import { jitter, newVersion } from "../chance.ts";
import { commitUntilDecided, outcomeUnknown } from "../decided-commit.ts";
import { BrokerError } from "../errors.ts";
import { limits } from "../limits.ts";
import { Damaged } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import type { Item, Write } from "../ports/store.ts";
import { offsetKey, partitions, type QueueId } from "../schema.ts";
import type { Batch } from "./batch.ts";
import { encodeBatchRow, placedBatches, readBatchRow } from "./batch-row.ts";
import { type Appended, PendingAppend } from "./pending-append.ts";
import { readLastRow, rowsBelow, rowsFrom } from "./queue-rows.ts";
import type { SegmentDirectory } from "./segment-directory.ts";
import { lookBackTo, TailChain } from "./tail-chain.ts";

type Put = Extract<Write, { kind: "put" }>;

/** So long an append is tried against contention before its sender is told. */
const patienceMs = 10_000;
/** A remembered tail is used while the chance that somebody else appended since is below this: a refused put costs as much as five reads. */
const raceChanceMax = 0.2;
const rateWindowMs = 1_000;
const tailAgeMsMax = 10_000;
const backoffRoundTrips = 3;
const backoffMsMax = 100;

/**
 * Appends to one queue: one conditional put at the tail, at most one in flight in this process; what arrives meanwhile
 * goes together into the next row (group commit). Any number of appenders in other processes may work on the same
 * queue: whoever is refused learns what is there and tries behind it.
 */
export class QueueAppender {
  readonly #queue: QueueId;
  readonly #directory: SegmentDirectory;
  readonly #onAppend: () => void;
  readonly #groupBytesMax: number;
  #waiting: PendingAppend[] = [];
  #working = false;
  #segment: { readonly base: number; readonly partition: Uint8Array } | undefined;
  #chain: TailChain | undefined;
  /** Rows a millisecond that others append here, averaged over about a second. */
  #foreignRate = 0;
  #rateSeenAt = 0;

  constructor(options: {
    readonly queue: QueueId;
    readonly directory: SegmentDirectory;
    /** Batches that go into one commit have at most so many bytes together, or are alone. */
    readonly groupBytesMax: number;
    /** Called when rows were added, by whomever. */
    readonly onAppend: () => void;
  }) {
    this.#queue = options.queue;
    this.#directory = options.directory;
    this.#groupBytesMax = options.groupBytesMax;
    this.#onAppend = options.onAppend;
  }

  /** Resolves when the batch is durable, with its place. A batch whose id landed before gets the place that it has. */
  append(io: Ports, batch: Batch): Promise<Appended> {
    return new Promise((resolve, reject) => {
      const giveUpAt = io.clock.now() + patienceMs;
      this.#waiting.push(new PendingAppend(batch, giveUpAt, { resolve, reject }));
      if (!this.#working) void this.#work(io);
    });
  }

  /** Works for everybody who waits, through the ports of the first of them, until nobody does. Never rejects. */
  async #work(io: Ports): Promise<void> {
    this.#working = true;
    while (this.#waiting.length > 0) {
      let group: PendingAppend[] = [];
      try {
        const chain = await this.#tail(io);
        await this.#lookBack(io, chain);
        group = this.#takeGroup(io, chain);
        if (group.length > 0) await this.#land(io, chain, group);
      } catch (error) {
        this.#chain = undefined;
        const concerned = group.length > 0 ? group : this.#waiting.splice(0);
        for (const pending of concerned) pending.fail(error as Error);
      }
    }
    this.#working = false;
  }

  /** The tail: from memory where it is fresh and others are quiet, else read. */
  async #tail(io: Ports): Promise<TailChain> {
    const issuedAt = io.clock.now();
    const base = await this.#directory.activeBase(io, this.#queue);
    if (this.#segment?.base !== base) {
      this.#segment = { base, partition: partitions.batches(this.#queue, base) };
      this.#chain = undefined;
    }
    const known = this.#chain;
    const age = known === undefined ? Number.POSITIVE_INFINITY : issuedAt - known.issuedAt;
    if (known !== undefined && age < tailAgeMsMax && age * this.#foreignRate < raceChanceMax)
      return known;

    const last = await readLastRow(io, this.#segment.partition);
    const returnedAt = io.clock.now();
    const offset = last === undefined ? base : last.base + last.count;
    this.#noteForeignRows(returnedAt, known === undefined || known.offset === offset ? 0 : 1);
    if (known?.offset === offset) {
      known.issuedAt = issuedAt;
      return known;
    }
    this.#chain = new TailChain({ offset, storedAt: last?.storedAt ?? -1, issuedAt, returnedAt });
    return this.#chain;
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
    assert(this.#segment !== undefined, "a tail was read");
    let expectedEnd = chain.offset;
    for await (const row of rowsBelow(io, this.#segment.partition, chain.offset)) {
      if (row.base + row.count !== expectedEnd) throw brokenChain(this.#queue);
      if (row.storedAt < backTo) break;
      for (const { base, storedAt, batch } of placedBatches(row)) {
        if (wanted.has(batch.idKey))
          chain.recall(batch, { base, storedAt, learnedAt: io.clock.now() });
      }
      expectedEnd = row.base;
    }
  }

  /** Answers those that have landed already and takes as many of the others as fit one commit, in their order. */
  #takeGroup(io: Ports, chain: TailChain): PendingAppend[] {
    const group = new Map<unknown, PendingAppend>();
    const later: PendingAppend[] = [];
    let bytes = 0;
    for (const pending of this.#waiting) {
      // Without a first attempt nobody asked for it to land once, whatever id it carries.
      const id = pending.batch.firstAttemptAt > 0 ? pending.batch.idKey : pending;
      const landing = chain.landingOf(pending.batch);
      const twin = group.get(id);
      bytes += pending.batch.bytes.length;
      if (landing !== undefined) this.#answer(io, chain, pending, landing);
      else if (twin !== undefined) twin.join(pending);
      else if (pending.coveredIn !== chain || (group.size > 0 && bytes > this.#groupBytesMax))
        later.push(pending);
      else group.set(id, pending);
    }
    this.#waiting = later;
    return [...group.values()];
  }

  /** Puts the group at the tail; refused, it learns what lies there and tries behind it. */
  async #land(io: Ports, chain: TailChain, taken: readonly PendingAppend[]): Promise<void> {
    assert(this.#segment !== undefined, "a tail was read");
    const { partition } = this.#segment;
    let group = taken;
    for (let refusals = 0; group.length > 0; refusals++) {
      const issuedAt = io.clock.now();
      const storedAt = Math.max(issuedAt, chain.storedAt);
      const puts = this.#rowPuts(io, chain, group, { partition, storedAt });
      const result = await commitUntilDecided(io, puts, chain.issuedAt + limits.appendDeadlineMs);
      if (result.outcome === "applied") {
        this.#landed(io, chain, group, { storedAt, issuedAt });
        return;
      }
      const current = result.current[0];
      assert(
        current !== undefined,
        "what refused puts into vacant places lies at the first of them",
      );
      group = await this.#refused(io, chain, group, { current, partition, refusals, issuedAt });
    }
  }

  /** One row as long as it stays small, so that a reader who wants little reads little; more rows in the same commit. */
  #rowPuts(
    io: Ports,
    chain: TailChain,
    group: readonly PendingAppend[],
    { partition, storedAt }: { partition: Uint8Array; storedAt: number },
  ): Put[] {
    let offset = chain.offset;
    return rowsOf(group.map((pending) => pending.batch)).map((batches) => {
      const key = { partition, sort: offsetKey(offset) };
      offset += batches.reduce((sum, batch) => sum + batch.count, 0);
      const value = encodeBatchRow(storedAt, batches);
      return { kind: "put", key, value, version: newVersion(io.random), expect: "vacant" };
    });
  }

  #landed(
    io: Ports,
    chain: TailChain,
    group: readonly PendingAppend[],
    { storedAt, issuedAt }: { storedAt: number; issuedAt: number },
  ): void {
    const now = io.clock.now();
    if (now > chain.issuedAt + limits.appendDeadlineMs) throw outcomeUnknown();
    let base = chain.offset;
    const placed = group.map(({ batch }) => {
      const place = { base, storedAt, batch };
      base += batch.count;
      return place;
    });
    chain.linkOwn(placed, now);
    chain.issuedAt = issuedAt;
    this.#noteForeignRows(now, 0);
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
    this.#onAppend();
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
    // The same few round trips for everybody, however often he was refused: a back-off that grows lets the lucky starve
    // the others (scripts/contention.ts).
    const pauseMs = backoffRoundTrips * Math.max(1, now - issuedAt);
    await io.clock.sleep(jitter(io.random, Math.min(backoffMsMax, pauseMs)));
    for await (const row of rowsFrom(io, partition, chain.offset)) {
      if (chain.link(row, io.clock.now()) === undefined) throw brokenChain(this.#queue);
      this.#noteForeignRows(io.clock.now(), 1);
    }
    this.#onAppend();
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

  /** "It has landed" is an answer under the same deadline as an acknowledgement (rule 4 of the log). */
  #answer(
    io: Ports,
    chain: TailChain,
    pending: PendingAppend,
    landing: Parameters<PendingAppend["succeed"]>[0],
  ): void {
    if (io.clock.now() > chain.issuedAt + limits.appendDeadlineMs) pending.fail(outcomeUnknown());
    else pending.succeed(landing);
  }

  #noteForeignRows(now: number, rows: number): void {
    const elapsed = Math.max(0, now - this.#rateSeenAt);
    this.#foreignRate = (this.#foreignRate * rateWindowMs + rows) / (rateWindowMs + elapsed);
    this.#rateSeenAt = now;
  }
}

function rowsOf(batches: readonly Batch[]): Batch[][] {
  const rows: Batch[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const batch of batches) {
    bytes += batch.bytes.length;
    if (bytes > limits.rowBytesMax) {
      rows.push([]);
      bytes = batch.bytes.length;
    }
    rows.at(-1)?.push(batch);
  }
  return rows;
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
