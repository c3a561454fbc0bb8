import { newVersion } from "../chance.ts";
import { BrokerError, invalid } from "../errors.ts";
import { limits } from "../limits.ts";
import { batchIdBytes, derivedMessageId, encodeBatch, readBatch } from "../log/batch.ts";
import type { Log } from "../log/log.ts";
import { Superseded } from "../log/pending-append.ts";
import type { Ports } from "../ports/ports.ts";
import {
  type Expectation,
  itemBytes,
  type Key,
  keyId,
  storeLimits,
  valueBytes,
  type Write,
} from "../ports/store.ts";
import { isOwn } from "../schema.ts";
import type { Topics } from "../topics/topics.ts";
import { type OutgoingMessage, routedTo } from "./outgoing-message.ts";
import { expectAccepted, expectFits, expectWithinRetryWindow } from "./routing.ts";

/** What is done to a row of whoever embeds the broker. Its key is one of `keys.own`; what lies in it is nobody else's business. */
export type OwnWrite =
  | {
      readonly kind: "put";
      readonly key: Key;
      readonly value: Uint8Array;
      readonly expiresAt?: number;
      readonly expect?: Expectation;
    }
  | { readonly kind: "delete"; readonly key: Key; readonly expect?: Expectation }
  | { readonly kind: "check"; readonly key: Key; readonly expect: Expectation };

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
  const writes = writesOf(io, rows);
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
          bytes: bytesOf(rows),
          writes: () => writes,
        },
      },
    );
    return { messageId: message.messageId ?? derivedMessageId(id, queue, 0), queue, offset };
  } catch (error) {
    if (!(error instanceof Superseded)) throw error;
    throw conditionFailed(writes, error);
  }
}

function writesOf(io: Ports, rows: readonly OwnWrite[]): Write[] {
  if (rows.length === 0 || rows.length > limits.ownRowsMax)
    throw invalid("rows", `${rows.length} rows`, `1 to ${limits.ownRowsMax} rows`);
  const total = bytesOf(rows);
  if (total > limits.ownBytesMax)
    throw invalid("rows", `${total} bytes`, `at most ${limits.ownBytesMax} bytes together`);
  const seen = new Set<string>();
  return rows.map((row, index) => {
    const field = `rows[${index}]`;
    if (!isOwn(row.key)) throw invalid(`${field}.key`, "another key", "one that keys.own made");
    if (row.key.partition.length > storeLimits.partitionBytesMax)
      throw invalid(`${field}.key`, row.key.partition.length, "a shorter name of rows");
    if (row.key.sort.length < 1 || row.key.sort.length > storeLimits.sortBytesMax)
      throw invalid(`${field}.key`, row.key.sort.length, "a sort key of 1 to 1,024 bytes");
    if (seen.has(keyId(row.key))) throw invalid(`${field}.key`, "twice", "written once");
    seen.add(keyId(row.key));
    const { expect } = row;
    if (expect === "vacant") throw invalid(`${field}.expect`, expect, "absent, or a version");
    if (row.kind !== "put") return row;
    const put = { ...row, version: newVersion(io.random) };
    const size = itemBytes(put);
    if (size > storeLimits.itemBytesMax)
      throw invalid(`${field}.value`, `${size} bytes`, `at most ${storeLimits.itemBytesMax} bytes`);
    return put;
  });
}

function bytesOf(rows: readonly OwnWrite[]): number {
  return rows.reduce((sum, row) => {
    const value = row.kind === "put" ? valueBytes(row.value) : 0;
    return sum + row.key.partition.length + row.key.sort.length + value;
  }, 0);
}

/** A lost race for the end of the queue is tried again by the log; this is what the caller asked for and is not so. */
function conditionFailed(writes: readonly Write[], { refused }: Superseded): BrokerError {
  const failed = refused.map(({ write, current }) => ({
    row: writes.indexOf(write),
    current: current?.version ?? "absent",
  }));
  const [first] = failed;
  return new BrokerError("condition_failed", "a row is not what was expected", {
    field: `rows[${first?.row}].expect`,
    failed,
  });
}
