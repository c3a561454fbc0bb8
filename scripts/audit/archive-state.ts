import { readdir, stat } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import type { DirectoryEntry } from "../../src/broker/log/segment.ts";
import { filesBelow } from "./files.ts";
import { entryOf, lookAtStore, type SegmentName, type StoreLook, workDueAt } from "./store-look.ts";

/** Where a data folder keeps its blobs: those that are there, and those on their way. */
export function blobFolders(data: string) {
  const folder = join(data, "blobs");
  return { archives: join(folder, "blobs/segments"), temporary: join(folder, "temporary") };
}

/** A data folder as it lies there: the store, the blobs of archived segments, and what was left half written. */
export interface ArchiveState {
  readonly look: StoreLook;
  readonly blobs: readonly SegmentName[];
  readonly temporary: readonly { readonly name: string; readonly writtenAt: number }[];
}

export async function archiveStateOf(data: string): Promise<ArchiveState> {
  const { archives, temporary } = blobFolders(data);
  const look = await lookAtStore(data);
  const blobs = (await filesIfAny(archives)).map((file) => segmentOf(relative(archives, file)));
  return { look, blobs, temporary: await draftsIn(temporary) };
}

async function draftsIn(folder: string): Promise<ArchiveState["temporary"]> {
  const drafts: { name: string; writtenAt: number }[] = [];
  for (const name of await readdir(folder)) {
    // A server that runs may be done with it by now.
    const file = await stat(join(folder, name)).catch(() => undefined);
    if (file !== undefined) drafts.push({ name, writtenAt: file.mtimeMs });
  }
  return drafts;
}

/** The folders that the blobs of each queue lie in. */
export async function queueFolders(data: string): Promise<string[]> {
  const folders = (await filesIfAny(blobFolders(data).archives)).map((file) => dirname(file));
  return [...new Set(folders)];
}

async function filesIfAny(folder: string): Promise<string[]> {
  try {
    return await filesBelow(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** From `{topic}/{queue}/{base}.{part}=`. */
function segmentOf(path: string): SegmentName {
  const [topicId = "", queue = "", file = ""] = path.split(sep);
  const [base = "", part = ""] = file.replace(/=$/, "").split(".");
  return { topicId: +topicId, queue: +queue, base: +base, part: +part };
}

/** What was under way when the server ended, each with how often. */
export interface UnderWay {
  /** A blob was being written. */
  readonly blobHalfWritten: number;
  /** The blob is there, the directory does not know it yet. */
  readonly blobBeforeEntry: number;
  /** Rows of a segment were being deleted: the first ones are gone, others are not. */
  readonly rowsHalfDropped: number;
  /** The directory has forgotten a segment, its blob or its rows are still there. */
  readonly trimmedNotDeleted: number;
}

/** `since`: when it had begun (ms since the epoch). */
export function underWay({ look, blobs, temporary }: ArchiveState, since: number): UnderWay {
  const stateOf = (name: SegmentName) => entryOf(look, name)?.segment.state;
  const dropped = look.rows.filter((rows) => {
    const dueAt = workDueAt(look, "drop-rows", rows);
    return dueAt !== undefined && dueAt <= look.at;
  });
  return {
    blobHalfWritten: temporary.filter(({ writtenAt }) => writtenAt >= since).length,
    blobBeforeEntry: blobs.filter((blob) => stateOf(blob) === "sealed").length,
    rowsHalfDropped: dropped.filter(({ base, firstRow }) => firstRow > base).length,
    trimmedNotDeleted: [...blobs, ...dropped].filter((name) => stateOf(name) === undefined).length,
  };
}

/** What must not be there when all work is done. */
export function leftBehind(state: ArchiveState): string[] {
  const { look, blobs } = state;
  const wrong: string[] = [];
  for (const blob of blobs) {
    if (entryOf(look, blob)?.segment.state !== "archived")
      wrong.push(`${told(blob)}: a blob without an owner`);
  }
  for (const { entry, topicId, queue } of look.entries) {
    const name = nameOf({ topicId, queue }, entry);
    const hasBlob = blobs.some((blob) => told(blob) === told(name));
    if (entry.segment.state === "archived" && !hasBlob)
      wrong.push(`${told(name)}: archived without a blob`);
  }
  for (const rows of look.rows) {
    const entry = entryOf(look, rows);
    if (entry === undefined || entry.segment.state === "archived")
      wrong.push(`${told(rows)}: ${rows.rows} rows that nobody needs`);
  }
  return wrong;
}

function nameOf(
  queue: Pick<SegmentName, "topicId" | "queue">,
  { base, segment }: DirectoryEntry,
): SegmentName {
  return { ...queue, base, part: segment.part };
}

function told({ topicId, queue, base, part }: SegmentName): string {
  return `segment ${topicId}/${queue}/${base}.${part}`;
}
