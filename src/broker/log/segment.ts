import { limits } from "../limits.ts";
import type { Item } from "../ports/store.ts";
import { decodeRecord, encodeRecord } from "../record.ts";
import { queueOffsetOf } from "../schema.ts";
import type { ArchiveBlocks } from "./archive.ts";

/** Made with its predecessor's end, or with the queue. It takes no rows before it is opened. */
export interface EmptySegment {
  readonly state: "empty";
  /** Which segment of this base it is: one that got old without rows is replaced by its next part. */
  readonly part: number;
  /** No row before it was stored later (broker time, ms). */
  readonly after: number;
}

/** Takes appends. Everything about the life of its rows is fixed, so all of them end at one instant (rule 10 of the log). */
export interface OpenSegment extends Omit<EmptySegment, "state"> {
  readonly state: "open";
  /** Nothing is appended from then on (broker time, ms). */
  readonly sealAt: number;
  /** When its rows expire. */
  readonly rowsUntil: number;
  /** The topic's retention when it was opened. */
  readonly retentionMs: number;
}

/** Complete. Its rows lie in the store. */
export interface SealedSegment extends Omit<EmptySegment, "state"> {
  readonly state: "sealed";
  /** The offset behind its last message, where its successor begins. */
  readonly end: number;
  /** When its last row was stored. */
  readonly lastAt: number;
  /** Bytes of all its rows. */
  readonly bytes: number;
  readonly rowsUntil: number;
  /** From then on it may be removed. */
  readonly trimAt: number;
}

/** Complete, and a blob holds its rows. Those in the store go after a while. */
export interface ArchivedSegment extends Omit<SealedSegment, "state"> {
  readonly state: "archived";
  /** Where in the blob to begin to read. */
  readonly blocks: ArchiveBlocks;
}

/** What the directory knows of one segment. It goes down this list and never back. */
export type Segment = EmptySegment | OpenSegment | SealedSegment | ArchivedSegment;

/** A directory entry as it was read. */
export interface DirectoryEntry<S extends Segment = Segment> {
  /** The offset of its first message. */
  readonly base: number;
  readonly segment: S;
  readonly version: string;
  /** When the read was issued that showed it (ms). */
  readonly readAt: number;
}

export const firstSegment: EmptySegment = { state: "empty", part: 0, after: -1 };

export function encodeSegment(segment: Segment): Uint8Array {
  return encodeRecord(segment);
}

/** Throws `Damaged`. */
export function readEntry({ key, value, version }: Item, readAt: number): DirectoryEntry {
  const segment = decodeRecord<Segment>("segment", value);
  return { base: queueOffsetOf(key.sort), segment, version, readAt };
}

export function isIn<S extends Segment["state"]>(
  entry: DirectoryEntry,
  ...states: readonly S[]
): entry is DirectoryEntry<Extract<Segment, { state: S }>> {
  return states.some((state) => state === entry.segment.state);
}

/** Whether what it held has expired before anybody sealed, archived or trimmed it. A little early, for clocks differ. */
export function hasExpired({ segment }: DirectoryEntry, now: number): boolean {
  return (
    (segment.state === "open" || segment.state === "sealed") &&
    segment.rowsUntil <= now + 4 * limits.clockErrorMsMax
  );
}
