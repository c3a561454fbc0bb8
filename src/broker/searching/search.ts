import { invalid, isBrokerError } from "../errors.ts";
import { limits } from "../limits.ts";
import { type PlacedBatch, placedBatches } from "../log/batch-row.ts";
import type { Log } from "../log/log.ts";
import type { RowsRead } from "../log/log-reader.ts";
import { type StoredMessage, storedMessages } from "../log/stored-messages.ts";
import { metered, Usage } from "../metering.ts";
import { Damaged } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import type { QueueId } from "../schema.ts";
import type { Topic } from "../topics/topic.ts";
import type { Topics } from "../topics/topics.ts";
import { decodeCursor, encodeCursor, type SearchPosition } from "./search-cursor.ts";
import { type SearchTerm, type WantedMessages, wantedMessages } from "./wanted-messages.ts";

export interface SearchRequest extends SearchTerm {
  readonly topic: string;
  /** Only what was stored at or after this instant (broker time, ms). */
  readonly from?: number | undefined;
  /** Only what was stored before this instant, which lies behind `from`. */
  readonly to?: number | undefined;
  /** At most so many messages, up to `searchMessagesMax`. */
  readonly limit: number;
  /** Where an earlier answer to the same search ended. */
  readonly cursor?: string | undefined;
}

export interface FoundMessage extends StoredMessage {
  readonly queue: number;
}

/** Messages that cannot be read: those of a queue from one offset up to another. */
export interface DamagedRange {
  readonly queue: number;
  readonly from: number;
  readonly to: number;
}

export interface SearchPage {
  readonly found: readonly FoundMessage[];
  readonly damaged: readonly DamagedRange[];
  readonly scannedTo: SearchPosition;
  /** Where to go on. Absent when everything was searched. */
  readonly nextCursor: string | undefined;
}

/** So much is read at once: a page that is full is not known before. */
const readBytesMax = 1_048_576;

/**
 * Looks through a topic, one queue after the other, from the first message to the last one that is there when its queue
 * is reached. A request does a bounded part of that: about `searchBytesMax` bytes and `searchReadsMax` reads, whatever it
 * finds. What is trimmed between two pages is passed over.
 */
export async function search(
  ports: Ports,
  { topics, log }: { readonly topics: Topics; readonly log: Log },
  request: SearchRequest,
): Promise<SearchPage> {
  const { from, to } = request;
  if (from !== undefined && to !== undefined && to <= from)
    throw invalid("to", to, `later than from, ${from}`);
  const usage = new Usage();
  const io = metered(ports, usage);
  const topic = await topics.get(io, request.topic);
  const wanted = wantedMessages(request, topic.queues);
  const subject = subjectOf(topic, request);
  const { firstQueue, lastQueue } = queuesOf(topic, wanted);
  const begin =
    request.cursor === undefined
      ? { queue: firstQueue, offset: 0 }
      : decodeCursor(request.cursor, subject);
  const page = new PageInProgress(request.limit);
  const { found, damaged } = page;
  let next: SearchPosition = begin;
  let scannedTo = begin;
  do {
    const queue: QueueId = { topicId: topic.id, queue: next.queue };
    let part: SearchedPart;
    try {
      part = await searchPart(io, log, queue, { offset: next.offset, request, wanted, page });
    } catch (error) {
      // What was found before the damage is told; the next page begins at it and says so.
      if (error instanceof Damaged && next !== begin) break;
      throw error;
    }
    scannedTo = { queue: next.queue, offset: part.end };
    if (part.ended && next.queue >= lastQueue)
      return { found, damaged, scannedTo, nextCursor: undefined };
    next = part.ended ? { queue: next.queue + 1, offset: 0 } : scannedTo;
  } while (!page.isFull && usage.storeRequests + usage.blobGets < limits.searchReadsMax);
  return { found, damaged, scannedTo, nextCursor: encodeCursor(next, subject) };
}

/** What one request has found and what it took. */
class PageInProgress {
  readonly found: FoundMessage[] = [];
  readonly damaged: DamagedRange[] = [];
  readonly #limit: number;
  #foundBytes = 0;
  #bytes = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get isFull(): boolean {
    const { searchBytesMax, searchFoundBytesMax } = limits;
    const hasEnough = this.found.length >= this.#limit || this.#foundBytes >= searchFoundBytesMax;
    return hasEnough || this.#bytes >= searchBytesMax;
  }

  add(found: FoundMessage): void {
    this.found.push(found);
    this.#foundBytes += found.message.body.length;
  }

  /** Bytes of a batch that was looked at, and what it was unpacked to. */
  count(bytes: number): void {
    this.#bytes += bytes;
  }
}

interface SearchedPart {
  /** The offset up to which the queue was searched. */
  readonly end: number;
  /** The queue holds no more that may be wanted. */
  readonly ended: boolean;
}

interface PartOfSearch {
  /** Where to begin; 0 is the first message that may be wanted. */
  readonly offset: number;
  readonly request: SearchRequest;
  readonly wanted: WantedMessages;
  readonly page: PageInProgress;
}

/** Searches what one read of a queue shows, until the page is full. */
async function searchPart(
  io: Ports,
  log: Log,
  id: QueueId,
  { offset, request, wanted, page }: PartOfSearch,
): Promise<SearchedPart> {
  const { from, to = Number.POSITIVE_INFINITY } = request;
  const { queue } = id;
  const wantedFrom = offset === 0 && from !== undefined ? await log.offsetAt(io, id, from) : offset;
  const { begin, rows, maxOffset } = await readFrom(io, log, id, wantedFrom);
  let end = begin;
  for (const row of rows) {
    if (row.storedAt >= to) return { end, ended: true };
    // Where `from` is later than a broker's clock, older messages may still come behind the place that was found for it.
    if (row.storedAt < (from ?? 0)) {
      end = row.base + row.count;
      continue;
    }
    try {
      for (const placed of placedBatches(row)) {
        const batchEnd = placed.base + placed.batch.count;
        if (batchEnd <= end) continue;
        for (const message of await candidates(io, queue, placed, { wanted, page })) {
          if (message.offset < begin || !wanted.matches(message)) continue;
          page.add({ queue, ...message });
          if (page.isFull) return { end: message.offset + 1, ended: false };
        }
        end = batchEnd;
        if (page.isFull) return { end, ended: false };
      }
    } catch (error) {
      if (!(error instanceof Damaged)) throw error;
      page.damaged.push({ queue, from: end, to: row.base + row.count });
    }
    end = row.base + row.count;
  }
  return { end, ended: end >= maxOffset };
}

/** The messages of a batch, where its head does not say that none is wanted. */
async function candidates(
  io: Ports,
  queue: number,
  placed: PlacedBatch,
  { wanted, page }: Pick<PartOfSearch, "wanted" | "page">,
): Promise<readonly StoredMessage[]> {
  const { batch } = placed;
  page.count(batch.bytes.length);
  if (!wanted.mayLieIn(batch)) return [];
  const messages = await storedMessages(placed, { queue, compression: io.compression });
  if (batch.compressed)
    page.count(messages.reduce((sum, { message }) => sum + message.body.length, 0));
  return messages;
}

/** Rows from `offset` on, or from the first that is left. */
async function readFrom(
  io: Ports,
  log: Log,
  id: QueueId,
  offset: number,
): Promise<RowsRead & { readonly begin: number }> {
  const readLimits = { messagesMax: Number.MAX_SAFE_INTEGER, bytesMax: readBytesMax, waitMs: 0 };
  for (let begin = offset; ; ) {
    try {
      return { begin, ...(await log.read(io, id, begin, readLimits)) };
    } catch (error) {
      if (!isBrokerError(error) || error.code !== "out_of_range") throw error;
      const { min } = await log.range(io, id);
      if (min <= begin) throw error;
      begin = min;
    }
  }
}

function queuesOf(
  topic: Topic,
  { queue }: WantedMessages,
): { readonly firstQueue: number; readonly lastQueue: number } {
  return { firstQueue: queue ?? 0, lastQueue: queue ?? topic.queues - 1 };
}

/** A cursor of another topic or another search is none of this one. */
function subjectOf({ id }: Topic, { key, messageId, from, to }: SearchRequest): string {
  return JSON.stringify({ id, key, messageId, from, to });
}
