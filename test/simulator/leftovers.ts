import { unexpired } from "../../src/adapters/memory/store-rules.ts";
import { readU16, readU32, readU64 } from "../../src/broker/bytes.ts";
import { isSeal, readBatchRow } from "../../src/broker/log/batch-row.ts";
import type { Segment } from "../../src/broker/log/segment.ts";
import type { Item } from "../../src/broker/ports/store.ts";
import { decodeRecord } from "../../src/broker/record.ts";
import { queueOffsetOf } from "../../src/broker/schema.ts";
import { decodeTopic } from "../../src/broker/topics/topic.ts";
import { readWork, type Work } from "../../src/broker/work/work.ts";
import { describeKey, partitionLetter } from "./describe-key.ts";
import { largeObjects } from "./large-objects.ts";
import type { SimulatedCell } from "./simulated-ports.ts";

/** All that lies in the store unexpired, by the letter of its partition. */
function stored({ store, world }: SimulatedCell): Map<string, Item[]> {
  const found = new Map<string, Item[]>();
  for (const item of store.everything()) {
    if (unexpired(item, world.now) === undefined) continue;
    const letter = partitionLetter(item.key);
    found.set(letter, [...(found.get(letter) ?? []), item]);
  }
  return found;
}

/**
 * What lies in the store or among the blobs that no directory leads to and no work will remove. Read past every reader,
 * as nobody else can see it.
 */
export async function* ownerless(cell: SimulatedCell): AsyncGenerator<string> {
  const items = stored(cell);
  const topics = new Set((items.get("T") ?? []).map(({ value }) => decodeTopic(value).id));
  const work = (items.get("W") ?? []).map((item) => readWork(item).work);
  const dying = new Set(
    work.flatMap((each) => (each.kind === "delete-topic" ? [each.topicId] : [])),
  );
  const segments = new Map<string, Segment["state"]>();
  for (const { key, value } of items.get("S") ?? []) {
    const { state, part } = decodeRecord<Segment>("segment", value);
    segments.set(`${queueOf(key.partition)}/${queueOffsetOf(key.sort)}.${part}`, state);
  }
  const dropped = (kind: Work["kind"]) =>
    new Set(work.flatMap((each) => (each.kind === kind && "base" in each ? [nameOf(each)] : [])));
  const [rowsDropped, blobsDropped] = [dropped("drop-rows"), dropped("drop-blob")];

  for (const letter of ["S", "K"]) {
    for (const { key } of items.get(letter) ?? []) {
      const topicId = readU32(key.partition, 1);
      if (!topics.has(topicId) && !dying.has(topicId) && !cell.landedLate.has(key))
        yield `${describeKey(key)} of a topic that is gone`;
    }
  }
  for (const item of items.get("B") ?? []) {
    const { key } = item;
    const base = readU64(key.partition, 7);
    const name = `${queueOf(key.partition)}/${base}.${readU16(key.partition, 15)}`;
    const state = segments.get(name);
    const owned =
      rowsDropped.has(name) ||
      state === "open" ||
      state === "sealed" ||
      (state === "archived" && cell.log.rowsExpireFreely) ||
      dying.has(readU32(key.partition, 1));
    if (owned || cell.log.rowsExpireFreely || cell.landedLate.has(key)) continue;
    // The seal of a part that never held a row is left to its expiry.
    if (queueOffsetOf(key.sort) === base && isSeal(readBatchRow(item))) continue;
    yield `${describeKey(key)}, a row of a segment that is ${state ?? "gone"}`;
  }
  for (const name of await blobNames(cell)) {
    const isDying = dying.has(Number(name.split("/")[0]));
    if (!segments.has(name) && !blobsDropped.has(name) && !isDying)
      yield `the blob of ${name}, a segment that is gone`;
  }
  const days = new Set(work.flatMap((each) => (each.kind === "drop-large" ? [each.day] : [])));
  for (const key of await largeObjects(cell)) {
    if (!days.has(Number(key.split("/")[1]))) yield `${key}, whose day nobody will delete`;
  }
}

/** Segments that should have been archived by now, where all that is due is done. */
export function* unarchived(cell: SimulatedCell): Generator<string> {
  for (const { key, value } of stored(cell).get("S") ?? []) {
    const segment = decodeRecord<Segment>("segment", value);
    if (segment.state !== "sealed" || segment.bytes < cell.log.archiveBytesMin) continue;
    if (segment.rowsUntil > cell.world.now + 60_000)
      yield `${describeKey(key)}, sealed and not archived`;
  }
}

/** What is left when every segment that holds a message has been trimmed: nothing but one entry a queue. */
export async function* remains(cell: SimulatedCell): AsyncGenerator<string> {
  const items = stored(cell);
  for (const item of items.get("W") ?? [])
    yield `work that is stuck: ${JSON.stringify(readWork(item))}`;
  for (const letter of ["M", "N"])
    for (const { key } of items.get(letter) ?? []) yield `of delayed messages ${describeKey(key)}`;
  for (const { key } of items.get("B") ?? []) {
    if (!cell.landedLate.has(key)) yield `the row ${describeKey(key)}`;
  }
  for (const name of await blobNames(cell)) yield `the blob of ${name}`;
  yield* await largeObjects(cell);
  const queues = (items.get("T") ?? []).reduce(
    (sum, { value }) => sum + decodeTopic(value).queues,
    0,
  );
  const entries = items.get("S") ?? [];
  for (const { key, value } of entries) {
    const { state } = decodeRecord<Segment>("segment", value);
    if (state !== "empty") yield `${describeKey(key)}, a segment that is still ${state}`;
  }
  if (entries.length !== queues)
    yield `${entries.length} directory entries of ${queues} queues: ${entries.map(({ key }) => describeKey(key)).join(" ")}`;
}

async function blobNames({ blobs }: SimulatedCell): Promise<string[]> {
  const page = await blobs.list("segments/", { limit: 1_000 });
  return page.blobs.map(({ key }) => {
    const [, topicId, queue, segment = ""] = key.split("/");
    const [base, part] = segment.split(".");
    return `${topicId}/${queue}/${Number(base)}.${part}`;
  });
}

function queueOf(partition: Uint8Array): string {
  return `${readU32(partition, 1)}/${readU16(partition, 5)}`;
}

function nameOf({ topicId, queue, base, part }: Extract<Work, { base: number }>): string {
  return `${topicId}/${queue}/${base}.${part}`;
}
