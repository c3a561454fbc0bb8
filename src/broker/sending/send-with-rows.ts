import { invalid } from "../errors.ts";
import { batchIdBytes, derivedMessageId, encodeBatch, readBatch } from "../log/batch.ts";
import type { Log } from "../log/log.ts";
import { Superseded } from "../log/pending-append.ts";
import type { Ports } from "../ports/ports.ts";
import type { Topics } from "../topics/topics.ts";
import { type OutgoingMessage, routedTo } from "./outgoing-message.ts";
import { conditionFailed, type OwnWrite, ownBytes, ownWrites } from "./own-rows.ts";
import { expectAccepted, expectFits, expectWithinRetryWindow } from "./routing.ts";

export interface SendWithRowsRequest {
  readonly topic: string;
  /** Without a delay. */
  readonly message: OutgoingMessage;
  readonly rows: readonly OwnWrite[];
  /** Both or neither: with them message and rows are stored once, however often this is called. */
  readonly batchId?: Uint8Array;
  readonly firstAttemptAt?: number;
}

export interface SentWithRows {
  readonly messageId: string;
  readonly queue: number;
  readonly offset: number;
}

/**
 * For whoever embeds the broker: stores a message and rows of his own in one commit of the store, or neither. Throws
 * `condition_failed` where a row is not what he expects; then nothing was stored.
 */
export async function sendWithRows(
  io: Ports,
  { topics, log }: { readonly topics: Topics; readonly log: Log },
  { topic: name, message: outgoing, rows, batchId, firstAttemptAt }: SendWithRowsRequest,
): Promise<SentWithRows> {
  if ((batchId === undefined) !== (firstAttemptAt === undefined)) {
    const given = batchId === undefined ? "absent" : "given";
    throw invalid("batchId", given, "given together with firstAttemptAt");
  }
  const now = io.clock.now();
  if (firstAttemptAt !== undefined) expectWithinRetryWindow(firstAttemptAt, now);
  const writes = ownWrites(io, rows);
  const topic = await topics.get(io, name);
  const id = batchId ?? io.random.bytes(batchIdBytes);
  const bornAt = firstAttemptAt ?? now;
  const { message, queue, dueAt } = routedTo(topic, outgoing, { id, bornAt, path: "message" });
  if (dueAt !== undefined) throw invalid("message", "a delay", "a message that does not wait");
  expectAccepted(topic, message, "message");
  const batch = readBatch(
    encodeBatch({
      id,
      firstAttemptAt: firstAttemptAt ?? 0,
      bornAt: message.bornAt,
      messages: [message],
    }),
  );
  expectFits(batch.bytes.length, "message", 1);
  const [placed] = await log.place(io, [{ batch }], topic);
  try {
    const { base: offset } = await log.append(
      io,
      { topicId: topic.id, queue },
      placed?.batch ?? batch,
      {
        retentionMs: topic.retentionMs,
        along: {
          keys: writes.map(({ key }) => key),
          bytes: ownBytes(rows),
          writes: () => writes,
        },
      },
    );
    return { messageId: message.messageId ?? derivedMessageId(id, queue, 0), queue, offset };
  } catch (error) {
    if (!(error instanceof Superseded)) throw error;
    throw conditionFailed(writes, error.refused);
  }
}
