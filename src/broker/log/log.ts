import { assert } from "../assert.ts";
import { BrokerError } from "../errors.ts";
import { limits } from "../limits.ts";
import { Unavailable } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import { type QueueId, queueName } from "../schema.ts";
import { wakeForWork } from "../work/work-alarm.ts";
import { type AlongAll, appendTogether } from "./append-together.ts";
import { Arrivals } from "./arrivals.ts";
import type { Batch } from "./batch.ts";
import { endOfRows } from "./end-of-rows.ts";
import { LargeBatches } from "./large-batches.ts";
import {
  LogReader,
  type PlaceAsked,
  type QueueRange,
  type ReadLimits,
  type RowsRead,
} from "./log-reader.ts";
import { type LogSettings, logSettings } from "./log-settings.ts";
import { offsetAtTime } from "./offset-at-time.ts";
import type { Appended } from "./pending-append.ts";
import { type AppendOptions, QueueAppender } from "./queue-appender.ts";
import { isIn } from "./segment.ts";
import { SegmentChanges } from "./segment-changes.ts";
import { SegmentDirectory } from "./segment-directory.ts";

export interface WaitLimits extends ReadLimits {
  /** How long to wait for a message where there is none (ms). */
  readonly waitMs: number;
}

/** A topic, as far as a log needs to know it. */
export interface RetentionOf {
  readonly retentionMs: number;
}

/** The queues of a cell, as one broker works on them. What it holds in memory only saves requests. */
export class Log {
  readonly arrivals = new Arrivals();
  readonly settings: LogSettings;
  readonly changes: SegmentChanges;
  readonly #directory = new SegmentDirectory();
  readonly #largeBatches: LargeBatches;
  readonly #reader: LogReader;
  readonly #appenders = new Map<string, QueueAppender>();

  constructor(settings: Partial<LogSettings> = {}) {
    this.settings = logSettings(settings);
    this.changes = new SegmentChanges(this.settings);
    this.#largeBatches = new LargeBatches(this.settings);
    this.#reader = new LogReader(
      { directory: this.#directory, largeBatches: this.#largeBatches },
      this.settings.cacheBytesMax,
    );
  }

  /** The batches of one request as they are to be appended: those too large for a row are put into one blob. */
  place<T extends { readonly batch: Batch }>(
    io: Ports,
    parts: readonly T[],
    { retentionMs }: RetentionOf,
  ): Promise<readonly T[]> {
    return this.#largeBatches.place(io, parts, retentionMs);
  }

  /** A batch that was placed, with its content. */
  withContent(io: Ports, batch: Batch): Promise<Batch> {
    return this.#largeBatches.withContent(io, batch);
  }

  /** Resolves with the batch's place when it is durable. Throws `Superseded` where what was to go along is refused. */
  append(
    io: Ports,
    queue: QueueId,
    batch: Batch,
    options: AppendOptions = { retentionMs: limits.retentionMsDefault },
  ): Promise<Appended> {
    assert(batch.bytes.length <= limits.inlineBatchBytesMax, "a batch that is appended fits a row");
    return this.#appender(queue).append(io, batch, options);
  }

  /**
   * Appends batches to several queues, each to another one, in one commit with what goes along. Answers their places in
   * their order. Throws `Superseded` where what was to go along is refused.
   */
  appendTogether(
    io: Ports,
    parts: readonly (QueueId & RetentionOf & { readonly batch: Batch })[],
    along: AlongAll,
  ): Promise<readonly Appended[]> {
    const ofQueues = parts.map(({ topicId, queue, batch, retentionMs }) => {
      assert(
        batch.bytes.length <= limits.inlineBatchBytesMax,
        "a batch that is appended fits a row",
      );
      const id = { topicId, queue };
      return { name: queueName(id), appender: this.#appender(id), batch, retentionMs };
    });
    return appendTogether(io, ofQueues, along);
  }

  /** Reads rows, waiting up to `waitMs` for the first. An append in this process wakes it at once, one elsewhere within `pollMs`. */
  async read(io: Ports, queue: QueueId, offset: number, options: WaitLimits): Promise<RowsRead> {
    const until = io.clock.now() + options.waitMs;
    for (;;) {
      const read = await this.#reader.read(io, queue, offset, options);
      const left = until - io.clock.now();
      if (read.rows.length > 0 || left <= 0 || this.arrivals.closed) return read;
      await this.arrivals.wait(io.clock, [queue], Math.min(left, this.settings.pollMs));
    }
  }

  /** Whether a message lies at each of these places, or may lie there: one read for all of them, where their ends are known. */
  mayHold(io: Ports, places: readonly PlaceAsked[]): Promise<boolean[]> {
    return this.#reader.mayHold(io, places);
  }

  /** Both ends of a queue: the offset of its first message and that of the next one to come. */
  range(io: Ports, queue: QueueId): Promise<QueueRange> {
    return this.#reader.range(io, queue);
  }

  /** The offset of the first message stored at or after `at` (broker time, ms); the queue's end where there is none. */
  offsetAt(io: Ports, queue: QueueId, at: number): Promise<number> {
    return offsetAtTime(io, this.#directory, queue, at);
  }

  /**
   * Seals what the queue holds so far, so that it is archived now rather than when it is big or old enough. Answers the
   * offset below which everything is sealed. Throws `contention` where others always append.
   */
  async seal(io: Ports, queue: QueueId): Promise<number> {
    for (let attempt = 1; attempt <= sealAttemptsMax; attempt++) {
      this.#directory.forget(queue);
      const entry = await this.#directory.last(io, queue);
      if (!isIn(entry, "open")) return entry.base;
      const { base, segment } = entry;
      const end = await endOfRows(io, { ...queue, base, part: segment.part });
      if (end?.rows === 0) return base;
      const next = end && (await this.changes.seal(io, queue, entry, end));
      this.#directory.forget(queue);
      if (next === undefined) continue;
      await this.#wake(io);
      return next.base;
    }
    throw new BrokerError("contention", "others always appended", { queue: queue.queue });
  }

  /** Drops what is remembered of a queue that is gone. */
  forget(queue: QueueId): void {
    this.#directory.forget(queue);
    this.#appenders.delete(queueName(queue));
  }

  async #wake(io: Ports): Promise<void> {
    try {
      await wakeForWork(io, io.clock.now());
    } catch (error) {
      // The work is stored; a later sweep finds it without the alarm.
      if (!(error instanceof Unavailable)) throw error;
    }
  }

  #appender(queue: QueueId): QueueAppender {
    const name = queueName(queue);
    const known = this.#appenders.get(name);
    if (known !== undefined) return known;
    const appender = new QueueAppender({
      queue,
      directory: this.#directory,
      changes: this.changes,
      settings: this.settings,
      onAppend: (tail) => {
        this.#reader.sawTail(queue, tail);
        this.arrivals.announce(queue);
      },
      onSeal: (io) => this.#wake(io),
    });
    this.#appenders.set(name, appender);
    return appender;
  }
}

const sealAttemptsMax = 20;
