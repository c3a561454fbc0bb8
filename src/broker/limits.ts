import { assert } from "./assert.ts";
import { storeLimits } from "./ports/store.ts";

const KB = 1_024;
const MB = 1_024 * KB;
const second = 1_000;
const minute = 60 * second;

/** Every limit of the broker. RocketMQ's value where it has one. */
export const limits = {
  topicNameCharsMax: 127,
  groupNameCharsMax: 120,
  /** One commit makes a topic and the first directory entry of each of its queues. */
  queuesPerTopicMax: 64,
  retentionMsMin: minute,
  /** RocketMQ's fileReservedTime, 72 h. */
  retentionMsDefault: 72 * 60 * minute,
  retentionMsMax: 3_650 * 24 * 60 * minute,

  messagesPerBatchMax: 1_024,
  messagesPerRequestMax: 1_024,
  /** A batch, encoded: a body of 4 MB, RocketMQ's maxMessageSize, and what goes with it. */
  batchBytesMax: 4 * MB + 64 * KB,
  /** A batch that lies in one item of the store, together with the head of its row. A larger one is a blob. */
  inlineBatchBytesMax: 384 * KB,
  /** What a compressed batch may become. */
  contentBytesMax: 4 * MB + 64 * KB,
  /** Batches that were sent at the same time share a row up to this size; a larger one has a row to itself. */
  rowBytesMax: 64 * KB,
  tagBytesMax: 128,
  messageIdBytesMax: 128,
  messageGroupBytesMax: 63,
  keysPerMessageMax: 64,
  propertiesPerMessageMax: 128,
  /** With what the broker adds to a copy that is consumed again or is a dead letter. */
  propertiesPerStoredMessageMax: 136,
  /** Keys and values of the properties, the tag and the keys of one message, in UTF-8 bytes. */
  propertyBytesMax: 16 * KB,

  /** A message waits for at most so long, a year. */
  delayMsMax: 366 * 24 * 60 * minute,
  /** A timer that was delivered or recalled is kept so long, for those who ask late. */
  timerKeptMs: 24 * 60 * minute,

  /** A half message is checked back so long after it was prepared, RocketMQ's transactionTimeOut. */
  checkAfterMsMin: second,
  checkAfterMsDefault: 6 * second,
  /** RocketMQ's longest CHECK_IMMUNITY_TIME_IN_SECONDS. */
  checkAfterMsMax: 60 * minute,
  /** Then again every so often, RocketMQ's transactionCheckInterval; for so long a check belongs to whom it was given. */
  checkEveryMsMin: second,
  checkEveryMsDefault: 30 * second,
  checkEveryMsMax: 60 * minute,
  /** RocketMQ's transactionCheckMax. After so many checks without an outcome a half is discarded. */
  checksMaxDefault: 15,
  checksMaxMax: 1_000,
  checksAtOnceMax: 32,
  checkUrlCharsMax: 2_048,
  /** A webhook has so long to answer a check, and so much of its answer is read. */
  webhookMsMax: 10 * second,
  webhookAnswerBytesMax: 64 * KB,
  /** For so long a check is asked again by webhook where nobody answers, at most; then the next check comes. */
  webhookRetryMsMax: minute,
  /** A secret that was replaced still signs for so long, so that nothing is refused while its place is taken. */
  oldSecretMs: 24 * 60 * minute,
  /** A half that nobody could be asked about is discarded at this age. */
  halfOpenMsMax: 72 * 60 * minute,
  /** What became of a transaction can be asked for so long after it ended, and one that was discarded be revived. */
  transactionKeptMs: 7 * 24 * 60 * minute,
  /** A transaction is not revived any more at this age, so that a large message need not be kept for ever. */
  reviveAgeMsMax: 14 * 24 * 60 * minute,

  /** Rows of whoever embeds the broker, in the commit of one message: beside them are its row and the check of its segment. */
  ownRowsMax: 98,
  ownBytesMax: 2 * MB,
  /** Of one forward: queues that it sends to and messages that wait, each of which is two writes of its commit. */
  forwardTargetsMax: 40,
  /** Of one forward: what it puts into the store, so beside the bodies that lie in blobs. */
  forwardBytesMax: 3 * MB,
  /** A forward that is repeated within this time is answered as the first was. */
  forwardKeptMs: 24 * 60 * minute,
  topicsPerGroupMax: 64,
  membersPerGroupMax: 512,
  clientIdCharsMax: 128,
  /** A member is asked to be heard of so often; its heartbeat may be missed twice. */
  heartbeatMs: 5 * second,
  memberMs: 15 * second,
  /** RocketMQ's retryMaxTimes. */
  maxAttemptsDefault: 16,
  maxAttemptsMax: 1_000,
  retryStepsMax: 64,
  filterBytesMax: 2_048,
  /** RocketMQ's pop: at most 32. Here more, for a handle costs little. */
  receiveMessagesMax: 128,
  invisibleMsMin: second,
  invisibleMsMax: 12 * 60 * minute,
  handlesPerRequestMax: 1_024,
  attemptIdCharsMax: 128,
  /** What waits longer than this for its retry leaves the state of its queue. */
  waitInStateMsMax: minute,
  /** The state of a queue, encoded: with its key and version the item stays below 4 KB, four write units of DynamoDB. */
  queueStateBytesMax: 4_000,

  pullMessagesMax: 1_024,
  pullBytesMax: 4 * MB,
  waitMsMax: 20 * second,
  /** A search ends its page after so many bytes of batches: as many as a pull may take, some tens of ms of decoding. */
  searchBytesMax: 4 * MB,
  /** A search ends its page after so many reads of the ports: half a second where one takes 5 ms. */
  searchReadsMax: 100,
  searchMessagesMax: 100,
  /** A search ends its page after so many bytes of bodies, so that its answer stays below 6 MB as JSON. */
  searchFoundBytesMax: 1 * MB,
  requestBytesMax: 6 * MB,

  /** Brokers' clocks differ from true time by at most this much. Beyond it a retried batch may land twice. */
  clockErrorMsMax: 250,
  /** An append counts if it ended within this time of the issue of the read that showed it the tail. */
  appendDeadlineMs: minute,
  /** For so long a retry finds the first attempt; older ones are refused. */
  retryWindowMs: 10 * minute,
  /** No item vanishes from the log sooner than this after it was written. */
  rowLifeMsMin: 60 * minute,
  /** A large batch outlives the longest life of its row by so much: its object goes by whole days. */
  largeBatchGraceMs: 24 * 60 * minute,
  /** Rows expire so much later than the retention asks, so that trimming comes first. */
  rowGraceMs: 10 * minute,
  /** A queue whose open segment expired goes on so many offsets later: more than a segment ever holds. */
  lostJump: 2 ** 32,
  /** Age at which what a broker remembers of a topic or a segment is read again. */
  directoryAgeMsMax: 20 * second,
  topicAgeMsMax: 5 * second,
} as const;

assert(
  limits.inlineBatchBytesMax + 2 * KB <= storeLimits.itemBytesMax,
  "the largest row with its key fits an item",
);
assert(
  limits.ownRowsMax + 2 <= storeLimits.commitWritesMax &&
    limits.ownBytesMax + storeLimits.itemBytesMax + 64 * KB < storeLimits.commitBytesMax,
  "a message and rows of whoever embeds the broker fit a commit",
);
assert(
  limits.forwardBytesMax + storeLimits.commitWritesMax * 5_000 < storeLimits.commitBytesMax,
  "what a forward sends fits a commit with the states of queues",
);
assert(limits.queuesPerTopicMax + 3 <= storeLimits.commitWritesMax, "one commit makes a topic");
assert(
  limits.appendDeadlineMs + limits.retryWindowMs < limits.rowLifeMsMin,
  "a retry meets rows, not gaps",
);
assert(
  limits.directoryAgeMsMax + limits.appendDeadlineMs < limits.rowLifeMsMin,
  "a stale directory entry is gone before the rows that it leads to",
);
assert(limits.memberMs >= 2 * limits.heartbeatMs, "one heartbeat may be lost");
assert(limits.topicsPerGroupMax <= limits.queuesPerTopicMax, "a retry topic has a queue a topic");
