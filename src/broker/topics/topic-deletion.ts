import { limits } from "../limits.ts";
import { readEntries } from "../log/segment-directory.ts";
import { deleteItems } from "../log/segment-work.ts";
import type { Ports } from "../ports/ports.ts";
import { type Item, type ScanRange, storeLimits } from "../ports/store.ts";
import { archivePrefix, consumerOfKey, keys, partitions, type QueueId } from "../schema.ts";
import { type DueWork, putWork, type Work } from "../work/work.ts";
import type { WorkDone } from "../work/work-queue.ts";

export type TopicDeletion = Extract<Work, { kind: "delete-topic" }>;

/** One bounded step of removing what belonged to a deleted topic: a page of it, whichever is next. */
export async function doTopicDeletion(
  io: Ports,
  { work }: DueWork & { readonly work: TopicDeletion },
  { strayBlobMs }: { readonly strayBlobMs: number },
): Promise<WorkDone> {
  const items = await nextItemsOf(io, work);
  if (items.length > 0) {
    await deleteItems(io, items);
    return "again";
  }
  const { blobs } = await io.blobs.list(archivePrefix(work.topicId), { limit: blobsAtOnce });
  if (blobs.length > 0) {
    for (const { key } of blobs) await io.blobs.delete(key);
    return "again";
  }
  if (work.round === 2) return { writes: [] };
  // An archiver that was held up all the while may put a blob after this.
  const dueAt = io.clock.now() + strayBlobMs;
  return { writes: [putWork(io, { dueAt, work: { ...work, round: 2 } })] };
}

const blobsAtOnce = 100;

/** Rows before the directory entry that leads to them, so that a sweep that was cut short finds the rest. */
async function nextItemsOf(
  io: Ports,
  deletion: TopicDeletion,
): Promise<readonly Pick<Item, "key">[]> {
  const { topicId } = deletion;
  const [consumer] = await firstItems(io, { partition: partitions.consumersOf(topicId) });
  if (consumer !== undefined) {
    const of = consumerOfKey(topicId, consumer.key.sort);
    const states = await firstItems(io, { partition: partitions.queueStates(of) });
    return states.length > 0 ? states : [consumer];
  }
  for (let queue = 0; queue < deletion.queues; queue++) {
    const id: QueueId = { topicId, queue };
    // The last segment and its last rows first: a reader who is late sees a queue that is shorter, never one with a hole.
    const [entry] = await readEntries(io, id, { reverse: true, limit: 1 });
    if (entry === undefined) continue;
    const { base, segment } = entry;
    const partition = partitions.batches(id, { base, part: segment.part });
    const rows = await firstItems(io, { partition, reverse: true });
    if (rows.length > 0) return rows;
    return [{ key: keys.segment(id, base) }];
  }
  return [];
}

async function firstItems(io: Ports, range: Omit<ScanRange, "limit">): Promise<readonly Item[]> {
  const limit = storeLimits.commitWritesMax;
  return (await io.store.scan({ ...range, limit, bytesMax: limits.pullBytesMax })).items;
}
