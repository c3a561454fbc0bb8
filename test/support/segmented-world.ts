import { MemoryBlobs } from "../../src/adapters/memory/memory-blobs.ts";
import { MemoryStore } from "../../src/adapters/memory/memory-store.ts";
import { Broker } from "../../src/broker/broker.ts";
import { type Batch, readBatch } from "../../src/broker/log/batch.ts";
import { type PlacedBatch, placedBatches } from "../../src/broker/log/batch-row.ts";
import type { Log } from "../../src/broker/log/log.ts";
import type { LogSettings } from "../../src/broker/log/log-settings.ts";
import type { Message } from "../../src/broker/log/message.ts";
import type { DirectoryEntry } from "../../src/broker/log/segment.ts";
import { readEntries } from "../../src/broker/log/segment-directory.ts";
import type { Alarm } from "../../src/broker/ports/alarm.ts";
import type { Ports } from "../../src/broker/ports/ports.ts";
import { archivePrefix, type QueueId } from "../../src/broker/schema.ts";
import { batchOf } from "./batches.ts";
import { CountedBlobs } from "./counted-blobs.ts";
import { HookedStore } from "./hooked-store.ts";
import { memoryPorts } from "./memory-ports.ts";
import { VirtualClock } from "./virtual-clock.ts";

/** Segments that are full soon, archived whatever their size, and read from the store each time. */
export const smallSegments: Partial<LogSettings> = {
  segmentRowsMax: 4,
  archiveBytesMin: 1,
  cacheBytesMax: 0,
};

/** Wakes nobody: sweeps happen when a test makes one. */
const silentAlarm: Alarm = { set: async () => undefined, cancel: async () => undefined };

/** Ports in memory that count reads, one queue, and brokers over them that know nothing of each other. */
export async function segmentedWorld({
  settings = smallSegments,
  retentionMs,
}: {
  readonly settings?: Partial<LogSettings>;
  readonly retentionMs?: number;
} = {}) {
  const clock = new VirtualClock();
  const plain = new MemoryStore(clock);
  const store = new HookedStore(plain);
  const blobs = new CountedBlobs(new MemoryBlobs());
  const io = { ...memoryPorts(clock, { store }), store, blobs, alarm: silentAlarm };
  const newBroker = (own: Partial<LogSettings> = {}) => new Broker(io, { ...settings, ...own });
  const { topic } = await newBroker().topics.ensure(io, "orders", {
    queues: 1,
    ...(retentionMs === undefined ? {} : { retentionMs }),
  });
  const queue: QueueId = { topicId: topic.id, queue: 0 };
  return { io, clock, store, plain, blobs, topic, queue, newBroker };
}

let batches = 0;

/** A batch with an id that no other has. It asks to land once where it says when it was first tried. */
export function newBatch(messages: readonly Partial<Message>[] = [{}], firstAttemptAt = 0): Batch {
  const id = new Uint8Array(16);
  new DataView(id.buffer).setUint32(0, ++batches);
  const body = Uint8Array.of(1);
  return readBatch(
    batchOf(
      messages.map((each) => ({ body, ...each })),
      { id, firstAttemptAt },
    ),
  );
}

/** Appends batches one after the other, each in a row of its own. Answers them in their order. */
export async function appendRows(
  io: Ports,
  log: Log,
  queue: QueueId,
  rows: number,
  messages?: readonly Partial<Message>[],
): Promise<Batch[]> {
  const appended: Batch[] = [];
  for (let row = 0; row < rows; row++) {
    const batch = newBatch(messages);
    await log.append(io, queue, batch);
    appended.push(batch);
  }
  return appended;
}

/** The queue's segments as `state base` or, of later parts, `state base.part`. */
export async function segmentsOf(io: Ports, queue: QueueId): Promise<string[]> {
  return (await entriesOf(io, queue)).map(
    ({ base, segment: { state, part } }) => `${state} ${base}${part === 0 ? "" : `.${part}`}`,
  );
}

export function entriesOf(io: Ports, queue: QueueId): Promise<DirectoryEntry[]> {
  return readEntries(io, queue, { limit: 1_000 });
}

export async function blobsOf(io: Ports, { topicId }: QueueId): Promise<string[]> {
  const { blobs } = await io.blobs.list(archivePrefix(topicId), { limit: 1_000 });
  return blobs.map(({ key }) => key);
}

/** The batches from an offset to the end of a queue, read as a consumer would. Throws where offsets leave a gap. */
export async function readOn(
  io: Ports,
  log: Log,
  queue: QueueId,
  offset: number,
): Promise<PlacedBatch[]> {
  const found: PlacedBatch[] = [];
  for (let next = offset; ; ) {
    const options = { messagesMax: 7, bytesMax: 100_000, waitMs: 0 };
    const { rows, maxOffset } = await log.read(io, queue, next, options);
    if (rows.length === 0 && next === maxOffset) return found;
    for (const placed of rows.flatMap(placedBatches)) {
      const end = placed.base + placed.batch.count;
      if (end <= next) continue;
      if (placed.base > next) throw new Error(`a gap at ${next}`);
      found.push(placed);
      next = end;
    }
  }
}
