import { assert } from "../assert.ts";
import { limits } from "../limits.ts";
import { batchHeadBytes } from "./batch.ts";

const MB = 1_048_576;
const minute = 60_000;

/** How a log is kept. Brokers of one cell may differ in these; what concerns a segment is fixed when it is opened or sealed. */
export interface LogSettings {
  /** Batches that arrive together go into one commit of at most so many bytes, or alone. Default 1 MB. */
  readonly groupBytesMax: number;
  /**
   * A larger batch lies in a blob, and the store holds where. Default 9 KB: from there on a put into S3 ($5/M) costs less
   * than DynamoDB's write units ($0.625/M per KB).
   */
  readonly inlineBatchBytesMax: number;
  /** How often a long poll looks for what other processes appended (ms). Default 100. */
  readonly pollMs: number;
  /** Rows that were read lately are kept up to so many bytes. Default 64 MB. */
  readonly cacheBytesMax: number;
  /** A segment with so many bytes of rows is sealed before the next append. Default 16 MB. */
  readonly segmentBytesMax: number;
  /** A segment with so many rows is sealed before the next append. Default 4,096. */
  readonly segmentRowsMax: number;
  /** A segment is sealed so long after it was opened (ms). Default 1 h. */
  readonly segmentAgeMs: number;
  /**
   * A sealed segment with fewer bytes is not archived; its rows stay in the store to their end. Default 1 MB: below
   * that a put into S3 ($5/M) costs more than a month of DynamoDB saves.
   */
  readonly archiveBytesMin: number;
  /** So long after a segment was sealed, and again after it was archived, its rows stay in the store (ms). Default 1 h. */
  readonly rowsKeptMs: number;
  /** The store removes expired items at no cost, so rows are left to it. Default false: sweeps delete them. */
  readonly rowsExpireFreely: boolean;
  /** A blob that is deleted is deleted again so much later, for an archiver that was held up (ms). Default 24 h. */
  readonly strayBlobMs: number;
}

export function logSettings(given: Partial<LogSettings>): LogSettings {
  const settings = { ...defaults, ...given };
  assert(
    settings.inlineBatchBytesMax <= limits.inlineBatchBytesMax,
    "an inline batch fits an item",
  );
  const { segmentBytesMax, groupBytesMax, segmentRowsMax } = settings;
  const messagesMax =
    ((segmentBytesMax + groupBytesMax) / batchHeadBytes) * limits.messagesPerBatchMax;
  assert(messagesMax < limits.lostJump, "a queue that lost a segment goes on behind all it held");
  assert(
    settings.rowsKeptMs >= limits.directoryAgeMsMax + limits.appendDeadlineMs,
    "rows stay for as long as somebody may count with their segment as open",
  );
  assert(segmentRowsMax < 32_768, "a row's number in its segment has 16 bits");
  return settings;
}

const defaults: LogSettings = {
  groupBytesMax: 1 * MB,
  inlineBatchBytesMax: 9 * 1_024,
  pollMs: 100,
  cacheBytesMax: 64 * MB,
  segmentBytesMax: 16 * MB,
  segmentRowsMax: 4_096,
  segmentAgeMs: 60 * minute,
  archiveBytesMin: 1 * MB,
  rowsKeptMs: limits.rowLifeMsMin,
  rowsExpireFreely: false,
  strayBlobMs: 24 * 60 * minute,
};
