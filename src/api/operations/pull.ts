import * as z from "zod";
import { writeU32, writeU64 } from "../../broker/bytes.ts";
import { type Filter, parseFilter } from "../../broker/consuming/filter.ts";
import { BrokerError } from "../../broker/errors.ts";
import { type PlacedBatch, placedBatches } from "../../broker/log/batch-row.ts";
import type { RowsRead } from "../../broker/log/log-reader.ts";
import { storedMessages } from "../../broker/log/stored-messages.ts";
import { Damaged } from "../../broker/ports/failures.ts";
import { expectQueue } from "../../broker/topics/queue-choice.ts";
import { filterText } from "../consuming-schemas.ts";
import { messageToJson, type Place, toJson } from "../message-json.ts";
import { batchesType, defineOperation, type OperationContext } from "../operation.ts";
import { messageOut, messageParams, pullQuery, queueParams } from "../schemas.ts";

const defaults = { max: 32, maxBytes: 1_048_576, waitMs: 0 };
/** Of so many messages that no filter wants the caller is told, that he may ask again from there. */
const unwantedMax = 2_048;

export const pull = defineOperation({
  name: "pull",
  method: "GET",
  path: "/v1/topics/{topic}/queues/{queue}/messages",
  summary:
    "Messages of one queue from an offset on: at least one if there is one, waiting up to `waitMs` for it.",
  right: "pull",
  uses: ["readStore", "readBlobs"],
  params: queueParams,
  query: pullQuery.extend({ filter: filterText.optional() }),
  answers: {
    200: z.object({
      messages: z.array(messageOut),
      nextOffset: z.int(),
      minOffset: z.int(),
      maxOffset: z.int(),
    }),
  },
  errors: ["topic_not_found", "queue_not_found", "out_of_range", "corrupt"],
  async run(context, { params, query }) {
    const { clock } = context.io;
    const until = clock.now() + (query.waitMs ?? defaults.waitMs);
    const filter = parseFilter(query.filter ?? "*", "filter");
    for (let { offset } = query; ; ) {
      const now = clock.now();
      const rest = { ...query, offset, waitMs: Math.max(0, until - now) };
      const { minOffset, maxOffset, placed } = await read(context, params, rest);
      const { messages, nextOffset } = await messagesAsJson(context, placed, {
        ...{ ...rest, place: params, filter },
      });
      // At the end it has waited, so there is nothing or no time is left.
      const isDone = nextOffset === offset || nextOffset - query.offset >= unwantedMax;
      if (messages.length > 0 || isDone) {
        const ends = JSON.stringify({ nextOffset, minOffset, maxOffset });
        return { status: 200, jsonText: `{"messages":[${messages.join()}],${ends.slice(1)}` };
      }
      offset = nextOffset;
    }
  },
});

/**
 * Each message that is wanted as JSON, as many as are asked for, and where the next one would lie. How long they become is known only here: text has to be escaped, and
 * a compressed batch may become a thousand times as long.
 */
async function messagesAsJson(
  { io }: OperationContext,
  placed: readonly PlacedBatch[],
  query: {
    readonly place: Place;
    readonly offset: number;
    readonly max?: number | undefined;
    readonly maxBytes?: number | undefined;
    readonly filter: Filter;
  },
): Promise<{ readonly messages: string[]; readonly nextOffset: number }> {
  const { place, offset, filter, max = defaults.max, maxBytes = defaults.maxBytes } = query;
  const { compression } = io;
  const messages: string[] = [];
  let nextOffset = offset;
  let bytes = 0;
  for (const batch of placed) {
    for (const stored of await storedMessages(batch, { queue: place.queue, compression })) {
      if (stored.offset < offset) continue;
      if (filter.wants(stored.message)) {
        const text = JSON.stringify(messageToJson(stored, place));
        bytes += text.length;
        if (messages.length === max || (messages.length > 0 && bytes > maxBytes))
          return { messages, nextOffset };
        messages.push(text);
      }
      nextOffset = stored.offset + 1;
    }
  }
  return { messages, nextOffset };
}

const batchHeadBytes = 20;

export const pullBatches = defineOperation({
  name: "pullBatches",
  method: "GET",
  path: "/v1/topics/{topic}/queues/{queue}/messages",
  summary:
    "The same as whole batches in their stored form; the caller drops what lies before its offset.",
  right: "pull",
  uses: ["readStore", "readBlobs"],
  params: queueParams,
  query: pullQuery,
  produces: batchesType,
  answers: { 200: null },
  errors: pull.errors,
  async run(context, { params, query }) {
    const { minOffset, maxOffset, placed } = await read(context, params, query);
    const last = placed.at(-1);
    const nextOffset = last === undefined ? query.offset : last.base + last.batch.count;
    return {
      status: 200,
      bytes: framed(placed),
      facts: { nextOffset, minOffset, maxOffset },
    };
  },
});

export const getMessage = defineOperation({
  name: "getMessage",
  method: "GET",
  path: "/v1/topics/{topic}/queues/{queue}/messages/{offset}",
  summary: "One message.",
  right: "pull",
  uses: ["readStore", "readBlobs"],
  params: messageParams,
  answers: { 200: messageOut },
  errors: ["topic_not_found", "queue_not_found", "message_not_found", "out_of_range", "corrupt"],
  async run(context, { params }) {
    const { offset } = params;
    const { placed, maxOffset } = await read(context, params, { offset, max: 1, maxBytes: 1 });
    const [batch] = placed;
    if (batch === undefined) {
      throw new BrokerError(
        "message_not_found",
        `queue ${params.queue} has no message ${offset} yet`,
        { field: "offset", given: offset, allowed: `below ${maxOffset}` },
      );
    }
    const [json] = await toJson(batch, params, {
      fromOffset: offset,
      compression: context.io.compression,
    });
    return { status: 200, json };
  },
});

/** The batches from `offset` on that are asked for: at least one, whole ones only, up to `max` messages and `maxBytes`. */
async function read(
  { broker, io }: OperationContext,
  { topic: name, queue }: { readonly topic: string; readonly queue: number },
  query: {
    readonly offset: number;
    readonly max?: number | undefined;
    readonly maxBytes?: number | undefined;
    readonly waitMs?: number | undefined;
  },
): Promise<Pick<RowsRead, "minOffset" | "maxOffset"> & { readonly placed: PlacedBatch[] }> {
  const {
    offset,
    max = defaults.max,
    maxBytes = defaults.maxBytes,
    waitMs = defaults.waitMs,
  } = query;
  const topic = await broker.topics.get(io, name);
  expectQueue(topic, queue);
  const options = { messagesMax: max, bytesMax: maxBytes, waitMs };
  const { rows, minOffset, maxOffset } = await broker.log.read(
    io,
    { topicId: topic.id, queue },
    offset,
    options,
  );
  const placed: PlacedBatch[] = [];
  let bytes = 0;
  for (const row of rows) {
    // To verify a row that is not wanted costs as much as to send it.
    if (placed.length > 0 && row.base >= offset + max) break;
    let batches: readonly PlacedBatch[];
    try {
      batches = placedBatches(row);
    } catch (error) {
      // What can be read before the damage is told; the next pull begins at it and says so.
      if (error instanceof Damaged && placed.length > 0) break;
      throw error;
    }
    for (const batch of batches) {
      if (batch.base + batch.batch.count <= offset) continue;
      bytes += batch.batch.bytes.length;
      const enough = batch.base >= offset + max || bytes > maxBytes;
      if (placed.length > 0 && enough) return { placed, minOffset, maxOffset };
      placed.push(batch);
    }
  }
  return { placed, minOffset, maxOffset };
}

/** `[baseOffset u64, storedAt u64, length u32, batch]*`, big-endian. */
function framed(placed: readonly PlacedBatch[]): Uint8Array[] {
  return placed.flatMap(({ base, storedAt, batch }) => {
    const head = Buffer.allocUnsafe(batchHeadBytes);
    writeU64(head, 0, base);
    writeU64(head, 8, storedAt);
    writeU32(head, 16, batch.bytes.length);
    return [head, batch.bytes];
  });
}
