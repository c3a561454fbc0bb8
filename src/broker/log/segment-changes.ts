import { newVersion } from "../chance.ts";
import { commitUntilDecided } from "../decided-commit.ts";
import { limits } from "../limits.ts";
import type { Ports } from "../ports/ports.ts";
import type { Write } from "../ports/store.ts";
import { keys, offsetKey, partitions, type QueueId } from "../schema.ts";
import { type DueWork, deleteWork, putWork, type SegmentOfQueue } from "../work/work.ts";
import { encodeBatchRow } from "./batch-row.ts";
import type { LogSettings } from "./log-settings.ts";
import {
  type ArchivedSegment,
  type DirectoryEntry,
  type EmptySegment,
  encodeSegment,
  hasExpired,
  isIn,
  type OpenSegment,
  type SealedSegment,
  type Segment,
} from "./segment.ts";
import { readEntries } from "./segment-directory.ts";

/** The end of an open segment, as its rows show it. */
export interface SegmentEnd {
  /** The offset that the next message gets. */
  readonly offset: number;
  /** Rows, and bytes of them. */
  readonly rows: number;
  readonly bytes: number;
  /** Of the last row. */
  readonly storedAt: number;
}

/** Entries that one commit takes out of the directory: each is up to five writes. */
const trimmedAtOnce = 16;

/**
 * The changes of a queue's directory. Each is one commit under the version of the entry that it changes, so it happens
 * once, whoever tries it and however late. Answers are `undefined` where somebody else was faster.
 */
export class SegmentChanges {
  readonly #settings: LogSettings;

  constructor(settings: LogSettings) {
    this.#settings = settings;
  }

  /** Makes an empty segment take rows, whose life is fixed from now on. */
  async open(
    io: Ports,
    queue: QueueId,
    entry: DirectoryEntry<EmptySegment>,
    retentionMs: number,
  ): Promise<DirectoryEntry | undefined> {
    const now = io.clock.now();
    const segment = this.#opened(entry.segment, now, retentionMs);
    const seal = sealDue(idOf(queue, entry), segment);
    const change = turn(io, queue, entry, segment);
    return await this.#decided(io, [change.write, putWork(io, seal)], now, change.entry);
  }

  /**
   * Ends an open segment where its rows end: the seal behind its last row, its entry, and its successor, in one commit
   * (rule 8 of the log). With `reopen` the successor takes rows at once. One without rows is replaced by another part.
   * Answers the successor.
   */
  async seal(
    io: Ports,
    queue: QueueId,
    entry: DirectoryEntry<OpenSegment>,
    end: SegmentEnd,
    { reopen }: { readonly reopen?: { readonly retentionMs: number } } = {},
  ): Promise<DirectoryEntry | undefined> {
    const now = io.clock.now();
    // Rows that expired show the end of the segment where it began.
    if (hasExpired(entry, now)) {
      await this.lose(io, queue, entry);
      return undefined;
    }
    const { segment } = entry;
    const id = idOf(queue, entry);
    const lastAt = Math.max(end.storedAt, segment.after);
    const writes: Write[] = [
      {
        kind: "put",
        key: { partition: partitions.batches(queue, id), sort: offsetKey(end.offset) },
        value: encodeBatchRow(
          { storedAt: Math.max(now, lastAt), index: end.rows, segmentBytes: end.bytes },
          [],
        ),
        version: newVersion(io.random),
        expiresAt: segment.rowsUntil,
        expect: "vacant",
      },
      deleteWork(sealDue(id, segment)),
    ];
    const empty: EmptySegment = {
      state: "empty",
      part: end.rows > 0 ? 0 : segment.part + 1,
      after: lastAt,
    };
    const next = reopen === undefined ? empty : this.#opened(empty, now, reopen.retentionMs);
    if (isOpened(next))
      writes.push(putWork(io, sealDue({ ...queue, base: end.offset, part: next.part }, next)));
    if (end.rows === 0) {
      const change = turn(io, queue, entry, next);
      return await this.#decided(io, [...writes, change.write], now, change.entry);
    }
    const sealed: SealedSegment = {
      state: "sealed",
      part: segment.part,
      after: segment.after,
      end: end.offset,
      lastAt,
      bytes: end.bytes,
      rowsUntil: segment.rowsUntil,
      // Not sooner than its rows may vanish: somebody may still count with it as open. But not later than they do vanish,
      // which is soon where this comes late: before it is trimmed, nobody could read the queue from its beginning.
      trimAt: Math.min(
        Math.max(lastAt + segment.retentionMs, now + this.#settings.rowsKeptMs),
        segment.rowsUntil,
      ),
    };
    const added = turn(io, queue, { base: end.offset, readAt: now }, next);
    writes.push(
      turn(io, queue, entry, sealed).write,
      added.write,
      putWork(io, { dueAt: sealed.trimAt, work: { kind: "trim", ...id } }),
    );
    if (this.isArchivable(sealed))
      writes.push(putWork(io, { dueAt: now, work: { kind: "archive", ...id } }));
    return await this.#decided(io, writes, now, added.entry);
  }

  /** Whether a blob is cheaper than rows that stay. */
  isArchivable({ bytes }: SealedSegment): boolean {
    return bytes >= this.#settings.archiveBytesMin;
  }

  /** The writes that send readers to the blob, and the rows to their end a while later. */
  archived(
    io: Ports,
    queue: QueueId,
    entry: DirectoryEntry<SealedSegment>,
    blocks: ArchivedSegment["blocks"],
  ): Write[] {
    const segment: ArchivedSegment = { ...entry.segment, state: "archived", blocks };
    return [
      turn(io, queue, entry, segment).write,
      ...this.#rowsDropped(io, idOf(queue, entry), io.clock.now() + this.#settings.rowsKeptMs),
    ];
  }

  /**
   * Takes the lowest segments up to the one at `upTo` out of the directory, some of them in one commit: their retention
   * is over, or that of a later one is, for a queue has no holes. Answers whether any are left. Entries go first, then
   * blobs, then rows (rule 14 of the log).
   */
  async trim(io: Ports, queue: QueueId, upTo: number): Promise<{ readonly more: boolean }> {
    const now = io.clock.now();
    const range = { to: offsetKey(upTo), limit: trimmedAtOnce + 1 };
    const entries = await readEntries(io, queue, range);
    const trimmed = entries
      .slice(0, trimmedAtOnce)
      .filter((entry) => isIn(entry, "sealed", "archived"));
    if (trimmed.length === 0) return { more: false };
    const writes = trimmed.flatMap((entry) => this.#trimmed(io, queue, entry, now));
    const { outcome } = await commitUntilDecided(io, writes, now + limits.appendDeadlineMs);
    // Refused: somebody changed or trimmed some of them at the same time.
    return { more: outcome === "refused" || entries.length > trimmedAtOnce };
  }

  #trimmed(
    io: Ports,
    queue: QueueId,
    entry: DirectoryEntry<SealedSegment | ArchivedSegment>,
    now: number,
  ): Write[] {
    const { segment, version } = entry;
    const id = idOf(queue, entry);
    const writes: Write[] = [
      { kind: "delete", key: keys.segment(queue, entry.base), expect: { version } },
      deleteWork({ dueAt: segment.trimAt, work: { kind: "trim", ...id } }),
    ];
    // One that is only sealed may be on its way into a blob all the same.
    if (this.isArchivable({ ...segment, state: "sealed" })) {
      const { strayBlobMs } = this.#settings;
      writes.push(
        putWork(io, { dueAt: now, work: { kind: "drop-blob", round: 1, ...id } }),
        putWork(io, { dueAt: now + strayBlobMs, work: { kind: "drop-blob", round: 2, ...id } }),
      );
    }
    return segment.state === "sealed" ? [...writes, ...this.#rowsDropped(io, id, now)] : writes;
  }

  /**
   * Gives up an open segment whose rows have expired, as nobody came to seal it. The queue goes on further up than it
   * can have reached, so that no offset is given out twice (rule 10 of the log).
   */
  async lose(io: Ports, queue: QueueId, entry: DirectoryEntry<OpenSegment>): Promise<void> {
    while (entry.base > 0 && (await this.trim(io, queue, entry.base - 1)).more);
    const now = io.clock.now();
    const { base, version, segment } = entry;
    const next: EmptySegment = {
      state: "empty",
      part: 0,
      after: segment.sealAt + limits.appendDeadlineMs,
    };
    const added = turn(io, queue, { base: base + limits.lostJump, readAt: now }, next);
    const writes: Write[] = [
      { kind: "delete", key: keys.segment(queue, base), expect: { version } },
      added.write,
      deleteWork(sealDue(idOf(queue, entry), segment)),
    ];
    await commitUntilDecided(io, writes, now + limits.appendDeadlineMs);
  }

  #opened({ part, after }: EmptySegment, now: number, retentionMs: number): OpenSegment {
    const sealAt = now + this.#settings.segmentAgeMs;
    const rowsUntil = sealAt + Math.max(retentionMs, limits.rowLifeMsMin) + limits.rowGraceMs;
    return { state: "open", part, after, sealAt, rowsUntil, retentionMs };
  }

  #rowsDropped(io: Ports, id: SegmentOfQueue, dueAt: number): Write[] {
    if (this.#settings.rowsExpireFreely) return [];
    return [putWork(io, { dueAt, work: { kind: "drop-rows", ...id } })];
  }

  async #decided(
    io: Ports,
    writes: readonly Write[],
    now: number,
    entry: DirectoryEntry,
  ): Promise<DirectoryEntry | undefined> {
    const { outcome } = await commitUntilDecided(io, writes, now + limits.appendDeadlineMs);
    return outcome === "applied" ? entry : undefined;
  }
}

/** The write that makes an entry what it shall be, if it is still as it was read, or absent where it has no version. */
function turn(
  io: Ports,
  queue: QueueId,
  {
    base,
    version: expected,
    readAt,
  }: Pick<DirectoryEntry, "base" | "readAt"> & { version?: string },
  segment: Segment,
): { readonly write: Write; readonly entry: DirectoryEntry } {
  const version = newVersion(io.random);
  const expect = expected === undefined ? "absent" : { version: expected };
  const value = encodeSegment(segment);
  return {
    write: { kind: "put", key: keys.segment(queue, base), value, version, expect },
    entry: { base, segment, version, readAt },
  };
}

function isOpened(segment: EmptySegment | OpenSegment): segment is OpenSegment {
  return segment.state === "open";
}

function sealDue(id: SegmentOfQueue, { sealAt }: OpenSegment): DueWork {
  return { dueAt: sealAt, work: { kind: "seal", ...id } };
}

export function idOf(
  { topicId, queue }: QueueId,
  { base, segment }: DirectoryEntry,
): SegmentOfQueue {
  return { topicId, queue, base, part: segment.part };
}
