import { isBrokerError } from "../errors.ts";
import type { Batch } from "../log/batch.ts";
import { type PlacedBatch, placedBatches } from "../log/batch-row.ts";
import type { Log } from "../log/log.ts";
import type { ReadLimits, RowsRead } from "../log/log-reader.ts";
import { type StoredMessage, storedMessages } from "../log/stored-messages.ts";
import { Damaged } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import type { QueueId } from "../schema.ts";

export interface MessagesRead {
  /** From the offset asked for on, without a gap; where that was trimmed, from `from` on. */
  readonly messages: readonly StoredMessage[];
  /** The offset asked for, or the first one that is still there. */
  readonly from: number;
  /** The end of the last row that was read. */
  readonly end: number;
  /** The end of the queue, as far as it is known. */
  readonly max: number;
}

/** Batches whose messages are kept decoded: a large one is given out in many portions. */
const decodedKept = 256;
const decoded = new Map<Batch, readonly StoredMessage[]>();

/** The messages of a queue from an offset on, at least one where there is one. Below the first one it goes on at the first. */
export async function readMessages(
  io: Ports,
  log: Log,
  queue: QueueId,
  { offset, ...readLimits }: ReadLimits & { readonly offset: number },
): Promise<MessagesRead> {
  let from = offset;
  let read: RowsRead;
  try {
    read = await log.read(io, queue, offset, { ...readLimits, waitMs: 0 });
  } catch (error) {
    if (!isBrokerError(error) || error.code !== "out_of_range") throw error;
    const { min, max } = error.details as { readonly min: number; readonly max: number };
    // Somebody committed an offset that is still to come.
    if (offset > max) return { messages: [], from, end: offset, max };
    from = min;
    read = await log.read(io, queue, from, { ...readLimits, waitMs: 0 });
  }
  const messages: StoredMessage[] = [];
  let end = from;
  for (const row of read.rows) {
    try {
      for (const placed of placedBatches(row)) {
        if (placed.base + placed.batch.count <= from) continue;
        for (const message of await decode(io, queue, placed))
          if (message.offset >= from) messages.push(message);
      }
    } catch (error) {
      // What can be read before the damage is given out; who comes next meets it.
      if (error instanceof Damaged && messages.length > 0) break;
      throw error;
    }
    end = row.base + row.count;
    if (messages.length >= readLimits.messagesMax) break;
  }
  return { messages, from, end, max: read.maxOffset };
}

/** The messages that lie at these offsets, which rise. What was trimmed is missing. */
export async function readMessagesAt(
  io: Ports,
  log: Log,
  queue: QueueId,
  offsets: readonly number[],
): Promise<Map<number, StoredMessage>> {
  const found = new Map<number, StoredMessage>();
  const wanted = new Set(offsets);
  let from = 0;
  for (const offset of offsets) {
    if (offset < from) continue;
    const read = await readMessages(io, log, queue, { offset, messagesMax: 32, bytesMax: 262_144 });
    for (const message of read.messages)
      if (wanted.has(message.offset)) found.set(message.offset, message);
    const last = read.messages.at(-1);
    from = last === undefined ? read.from : last.offset + 1;
  }
  return found;
}

async function decode(
  { compression }: Ports,
  { queue }: QueueId,
  placed: PlacedBatch,
): Promise<readonly StoredMessage[]> {
  const { batch } = placed;
  const known = decoded.get(batch);
  if (known !== undefined) return known;
  const messages = await storedMessages(placed, { queue, compression });
  if (decoded.size >= decodedKept)
    for (const oldest of decoded.keys()) {
      decoded.delete(oldest);
      break;
    }
  decoded.set(batch, messages);
  return messages;
}
