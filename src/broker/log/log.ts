import { assert } from "../assert.ts";
import { limits } from "../limits.ts";
import type { Clock } from "../ports/clock.ts";
import type { Ports } from "../ports/ports.ts";
import { type QueueId, queueName } from "../schema.ts";
import { Arrivals } from "./arrivals.ts";
import type { Batch } from "./batch.ts";
import { LogReader, type ReadLimits, type RowsRead } from "./log-reader.ts";
import type { Appended } from "./pending-append.ts";
import { QueueAppender } from "./queue-appender.ts";
import { SegmentDirectory } from "./segment-directory.ts";

export interface WaitLimits extends ReadLimits {
  /** How long to wait for a message where there is none (ms). */
  readonly waitMs: number;
}

export interface LogSettings {
  /** Batches that arrive together go into one commit of at most so many bytes, or alone. Default 1 MB. */
  readonly groupBytesMax: number;
  /** How often a long poll looks for what other processes appended (ms). Default 100. */
  readonly pollMs: number;
  /** Rows that were read lately are kept up to so many bytes. Default 64 MB. */
  readonly cacheBytesMax: number;
}

const MB = 1_048_576;

/** The queues of a cell, as one broker works on them. What it holds in memory only saves requests. */
export class Log {
  readonly arrivals = new Arrivals();
  readonly #directory: SegmentDirectory;
  readonly #reader: LogReader;
  readonly #appenders = new Map<string, QueueAppender>();
  readonly #groupBytesMax: number;
  readonly #pollMs: number;

  constructor(clock: Clock, settings: Partial<LogSettings> = {}) {
    const { groupBytesMax = 1 * MB, pollMs = 100, cacheBytesMax = 64 * MB } = settings;
    this.#directory = new SegmentDirectory(clock);
    this.#reader = new LogReader(this.#directory, cacheBytesMax);
    this.#groupBytesMax = groupBytesMax;
    this.#pollMs = pollMs;
  }

  append(io: Ports, queue: QueueId, batch: Batch): Promise<Appended> {
    assert(batch.bytes.length <= limits.batchBytesMax, "a batch that is appended fits a row");
    return this.#appender(queue).append(io, batch);
  }

  /** Reads rows, waiting up to `waitMs` for the first. An append in this process wakes it at once, one elsewhere within `pollMs`. */
  async read(io: Ports, queue: QueueId, offset: number, options: WaitLimits): Promise<RowsRead> {
    const until = io.clock.now() + options.waitMs;
    for (;;) {
      const read = await this.#reader.read(io, queue, offset, options);
      const left = until - io.clock.now();
      if (read.rows.length > 0 || left <= 0 || this.arrivals.closed) return read;
      await this.arrivals.wait(io.clock, queue, Math.min(left, this.#pollMs));
    }
  }

  /** Both ends of a queue: the offset of its first message and that of the next one to come. */
  range(io: Ports, queue: QueueId): Promise<{ readonly min: number; readonly max: number }> {
    return this.#reader.range(io, queue);
  }

  /** Drops what is remembered of a queue that is gone. */
  forget(queue: QueueId): void {
    this.#directory.forget(queue);
    this.#appenders.delete(queueName(queue));
  }

  #appender(queue: QueueId): QueueAppender {
    const name = queueName(queue);
    const known = this.#appenders.get(name);
    if (known !== undefined) return known;
    const appender = new QueueAppender({
      queue,
      directory: this.#directory,
      groupBytesMax: this.#groupBytesMax,
      onAppend: () => this.arrivals.announce(queue),
    });
    this.#appenders.set(name, appender);
    return appender;
  }
}
