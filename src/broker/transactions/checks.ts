import { newVersion } from "../chance.ts";
import { limits } from "../limits.ts";
import type { Batch } from "../log/batch.ts";
import { Damaged } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import { type Item, type Put, storeLimits } from "../ports/store.ts";
import { checkShards, keys, offsetKey, partitions } from "../schema.ts";
import {
  type CheckEntry,
  checkDueAt,
  checkPut,
  decodeCheckEntry,
  encodeCheckEntry,
  transactionOfCheck,
} from "./check-entry.ts";
import type { ProducerGroup, ProducerGroups } from "./producer-groups.ts";
import { decodeTransaction, preparedBatch, type Transaction, turned } from "./transaction.ts";

/** A half message whose producer is asked what became of it. */
export interface Check {
  readonly id: Uint8Array;
  readonly transaction: Transaction;
  readonly batch: Batch;
  /** How often somebody was asked, this time included. */
  readonly check: number;
  readonly lease: Lease;
}

/** Until the next check is due, a check belongs to whom it was given. */
export interface Lease {
  readonly until: number;
  /** The entry as it was put by whoever has it. */
  readonly put: Put;
  readonly entry: CheckEntry;
}

interface Taking {
  readonly max: number;
  /** Batches of so many bytes at once, but one at least. */
  readonly bytesMax: number;
  /** Whether somebody is asked by being given it. Who asks by webhook counts when he is answered, by {@link countCheck}. */
  readonly isCounted: boolean;
}

/** A half that is due to be checked. */
export interface DueHalf {
  readonly entry: Item;
  readonly check: CheckEntry;
  readonly item: Item;
  readonly transaction: Transaction;
  readonly batch: Batch;
}

/** So often a long poll looks for what is due (ms). */
const lookEveryMs = 500;

/** The checks of producer groups: who gets one has it to himself until the next is due. */
export class Checks {
  readonly #groups: ProducerGroups;

  constructor(groups: ProducerGroups) {
    this.#groups = groups;
  }

  /** Takes checks that are due, waiting up to `waitMs` for the first, unless `isOver`. */
  async take(
    io: Ports,
    producerGroup: string,
    { max, waitMs, isOver }: { max: number; waitMs: number; isOver: () => boolean },
  ): Promise<Check[]> {
    const until = io.clock.now() + waitMs;
    for (;;) {
      const taking = { max, bytesMax: limits.pullBytesMax, isCounted: true };
      const checks = await this.takeDue(io, producerGroup, taking);
      const left = until - io.clock.now();
      if (checks.length > 0 || left <= 0 || isOver()) return checks;
      await io.clock.sleep(Math.min(left, lookEveryMs));
    }
  }

  /** Gives out what is due of a group at this instant, first come, first served. */
  async takeDue(
    io: Ports,
    producerGroup: string,
    { max, bytesMax, isCounted }: Taking,
  ): Promise<Check[]> {
    const to = offsetKey(io.clock.now() + 1);
    const entries = await firstEntries(io, producerGroup, { to, limit: max });
    if (entries.length === 0) return [];
    const group = await this.#groups.get(io, producerGroup);
    const due: DueHalf[] = [];
    let bytes = 0;
    for (const half of await openHalves(io, entries.slice(0, max))) {
      if (isExhausted(io, half, group)) {
        await discard(io, half);
        continue;
      }
      const { batch } = half;
      bytes += batch.large?.length ?? batch.bytes.length;
      if (bytes > bytesMax && due.length > 0) break;
      due.push(half);
    }
    // Only now, when nothing else is waited for: one that fails meanwhile would fail with nobody there.
    const leases = await Promise.allSettled(due.map((half) => lease(io, half, group, isCounted)));
    const taken = leases.flatMap((each) => (each.status === "fulfilled" ? (each.value ?? []) : []));
    const failed = leases.find((each) => each.status === "rejected");
    if (taken.length === 0 && failed !== undefined) throw failed.reason;
    return taken;
  }
}

/** When the first check of a group is due, of all that are open. */
export async function nextCheckAt(io: Ports, producerGroup: string): Promise<number | undefined> {
  const [first] = await firstEntries(io, producerGroup, { limit: 1 });
  return first && checkDueAt(first);
}

/** The entries that are due first, in their order; at least `limit` of them where there are as many. */
async function firstEntries(
  io: Ports,
  producerGroup: string,
  range: { readonly to?: Uint8Array; readonly limit: number },
): Promise<Item[]> {
  const pages = await Promise.all(
    Array.from({ length: checkShards }, (_, shard) =>
      io.store.scan({ partition: partitions.checks(shard, producerGroup), ...range }),
    ),
  );
  return pages.flatMap(({ items }) => items).sort((a, b) => checkDueAt(a) - checkDueAt(b));
}

/** The halves of these entries that are still open. Entries of those that ended after somebody was asked are removed. */
export async function openHalves(io: Ports, entries: readonly Item[]): Promise<DueHalf[]> {
  const open: DueHalf[] = [];
  for (let from = 0; from < entries.length; from += storeLimits.getKeysMax) {
    const some = entries.slice(from, from + storeLimits.getKeysMax);
    const items = await io.store.get(
      some.map((entry) => keys.transaction(transactionOfCheck(entry))),
    );
    for (const [index, entry] of some.entries()) {
      const item = items[index];
      try {
        const transaction = item && decodeTransaction(item);
        if (item === undefined || transaction?.state !== "PREPARED") await remove(io, entry);
        else {
          const [check, batch] = [decodeCheckEntry(entry), preparedBatch(item)];
          open.push({ entry, check, item, transaction, batch });
        }
      } catch (error) {
        // Others do not wait behind what is damaged; whoever asks for it by its id is told.
        if (!(error instanceof Damaged)) throw error;
      }
    }
  }
  return open;
}

/** Whether nobody is asked any more: often enough without an outcome, or too long ago for anybody to be there. */
export function isExhausted(
  io: Ports,
  { check: { checks, preparedAt } }: DueHalf,
  { checksMax }: ProducerGroup,
): boolean {
  return checks >= checksMax || io.clock.now() - preparedAt > limits.halfOpenMsMax;
}

/** Ends a half that nobody ended. Where somebody else is faster, or nobody knows, it is looked at again. */
export async function discard(io: Ports, { entry, item, transaction }: DueHalf): Promise<void> {
  const endedAt = io.clock.now();
  await io.store.commit(
    [
      turned(io, item, { ...transaction, state: "DISCARDED", endedAt }),
      { kind: "delete", key: entry.key, expect: { version: entry.version } },
    ],
    endedAt + limits.appendDeadlineMs,
  );
}

/** Moves the entry to when the next check is due. `undefined` where somebody else has it, or nobody knows. */
async function lease(
  io: Ports,
  { entry, check, transaction, batch }: DueHalf,
  { checkEveryMs }: ProducerGroup,
  isCounted: boolean,
): Promise<Check | undefined> {
  const id = transactionOfCheck(entry);
  const now = io.clock.now();
  const { producerGroup } = transaction;
  const next = { producerGroup, dueAt: now + checkEveryMs, id };
  const checks = check.checks + 1;
  const left = isCounted ? { ...check, checks } : check;
  const put = checkPut(io, next, left);
  const { outcome } = await io.store.commit(
    [{ kind: "delete", key: entry.key, expect: { version: entry.version } }, put],
    now + limits.appendDeadlineMs,
  );
  if (outcome !== "applied") return undefined;
  return { id, transaction, batch, check: checks, lease: { until: next.dueAt, put, entry: left } };
}

/** Somebody was asked, and does not know. Where the entry is not his any more nothing is counted. */
export async function countCheck(io: Ports, { lease: { put, entry } }: Check): Promise<void> {
  const counted: Put = {
    ...put,
    value: encodeCheckEntry({ ...entry, checks: entry.checks + 1 }),
    version: newVersion(io.random),
    expect: { version: put.version },
  };
  await io.store.commit([counted], io.clock.now() + limits.appendDeadlineMs);
}

/** Its transaction has ended: nobody is to meet the entry and look. */
export function forgetCheck(io: Ports, { lease: { put } }: Check): Promise<void> {
  return remove(io, put);
}

async function remove(io: Ports, { key, version }: Pick<Item, "key" | "version">): Promise<void> {
  const until = io.clock.now() + limits.appendDeadlineMs;
  await io.store.commit([{ kind: "delete", key, expect: { version } }], until);
}
