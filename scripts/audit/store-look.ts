import { stat } from "node:fs/promises";
import { join } from "node:path";
import { open, type RootDatabase } from "lmdb";
import { decodeItem, encodeKey } from "../../src/adapters/local/lmdb-codec.ts";
import { readU16, readU32, readU64 } from "../../src/broker/bytes.ts";
import { isSeal, readBatchRow } from "../../src/broker/log/batch-row.ts";
import { type DirectoryEntry, readEntry } from "../../src/broker/log/segment.ts";
import { offsetKey, partitions } from "../../src/broker/schema.ts";
import { type DueWork, readWork } from "../../src/broker/work/work.ts";

/** The rows of one part of a segment, as they lie in the store. */
export interface StoredRows {
  readonly topicId: number;
  readonly queue: number;
  readonly base: number;
  readonly part: number;
  /** Where the first of them lies. */
  readonly firstRow: number;
  rows: number;
}

export interface StoredEntry {
  readonly topicId: number;
  readonly queue: number;
  readonly entry: DirectoryEntry;
}

/** What one instant of the store shows of segments. */
export interface StoreLook {
  /** When it was looked (ms since the epoch). */
  readonly at: number;
  /** Without the seals of segments that never had another row: they are left to expire. */
  readonly rows: readonly StoredRows[];
  readonly entries: readonly StoredEntry[];
  readonly work: readonly DueWork[];
  /** Of the data file, which never becomes smaller. */
  readonly fileBytes: number;
}

/**
 * Looks at a data folder's store from outside, past the broker: also at what no directory entry leads to any more. A
 * server may have it open meanwhile.
 */
export async function lookAtStore(data: string): Promise<StoreLook> {
  const path = join(data, "store.mdb");
  const db = open<Uint8Array, Uint8Array>({
    path,
    keyEncoding: "binary",
    encoding: "binary",
    noSubdir: true,
    readOnly: true,
  });
  try {
    // All within one turn of the event loop, so that it is one snapshot.
    const at = Date.now();
    const rows = rowsIn(db.getKeys(partitionsOf("B", segmentPartitionBytes)));
    const lone = rows.filter((each) => each.rows === 1);
    const seals = lone.filter((each) => isLoneSeal(db, each));
    const entries = [...db.getRange(partitionsOf("S", queuePartitionBytes))].map(
      ({ key, value }) => {
        const item = decodeItem(key, value);
        const { partition } = item.key;
        const queue = { topicId: readU32(partition, 1), queue: readU16(partition, 5) };
        return { ...queue, entry: readEntry(item, at) };
      },
    );
    const work = [...db.getRange(partitionsOf("W", 1))].map(({ key, value }) =>
      readWork(decodeItem(key, value)),
    );
    const { size: fileBytes } = await stat(path);
    return { at, rows: rows.filter((each) => !seals.includes(each)), entries, work, fileBytes };
  } finally {
    await db.close();
  }
}

/** The letter, a topic and a queue; for rows also where the segment begins and its part. */
const queuePartitionBytes = 7;
const segmentPartitionBytes = 17;

/** All partitions of one kind: they have one length and begin with one letter. */
function partitionsOf(letter: string, length: number) {
  const start = encodeKey(Buffer.from(letter.padEnd(length, "\0"), "latin1"));
  const end = start.slice();
  end[1] = (end[1] ?? 0) + 1;
  return { start, end };
}

function isLoneSeal(
  db: RootDatabase<Uint8Array, Uint8Array>,
  { firstRow, ...id }: StoredRows,
): boolean {
  const key = encodeKey(partitions.batches(id, id), offsetKey(firstRow));
  const value = db.get(key);
  return value !== undefined && isSeal(readBatchRow(decodeItem(key, value)));
}

function rowsIn(storedKeys: Iterable<Uint8Array>): StoredRows[] {
  const found: StoredRows[] = [];
  for (const key of storedKeys) {
    const id = {
      topicId: readU32(key, 2),
      queue: readU16(key, 6),
      base: readU64(key, 8),
      part: readU16(key, 16),
    };
    const firstRow = readU64(key, 18);
    const last = found.at(-1);
    if (last !== undefined && isSame(last, id)) last.rows++;
    else found.push({ ...id, firstRow, rows: 1 });
  }
  return found;
}

/** One part of a segment of a queue. */
export type SegmentName = Pick<StoredRows, "topicId" | "queue" | "base" | "part">;

function isSame(one: SegmentName, other: SegmentName): boolean {
  return (
    one.topicId === other.topicId &&
    one.queue === other.queue &&
    one.base === other.base &&
    one.part === other.part
  );
}

/** The directory entry of a segment. */
export function entryOf({ entries }: StoreLook, name: SegmentName): DirectoryEntry | undefined {
  return entries.find(({ topicId, queue, entry }) =>
    isSame(name, { topicId, queue, base: entry.base, part: entry.segment.part }),
  )?.entry;
}

/** When work of this kind on a segment is due, where it is arranged. */
export function workDueAt(
  { work }: StoreLook,
  kind: DueWork["work"]["kind"],
  name: SegmentName,
): number | undefined {
  return work.find((due) => due.work.kind === kind && "base" in due.work && isSame(name, due.work))
    ?.dueAt;
}
