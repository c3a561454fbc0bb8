import { BrokerError, invalid } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Message } from "../log/message.ts";
import type { Topic } from "../topics/topic.ts";

/** Throws where a topic takes no message, or not one of this kind. */
export function expectAccepted(
  topic: Topic,
  message: Message,
  path: string,
  {
    isDelayed = false,
    isTransactional = false,
  }: { readonly isDelayed?: boolean; readonly isTransactional?: boolean } = {},
): void {
  if (!topic.writable) {
    throw new BrokerError("topic_not_writable", `topic ${topic.name} takes no messages`, {
      topic: topic.name,
    });
  }
  // As RocketMQ ranks them: one that is several of these counts as the first.
  const ofGroup = message.messageGroup === undefined ? "NORMAL" : "FIFO";
  const kind = isTransactional ? "TRANSACTION" : isDelayed ? "DELAY" : ofGroup;
  if (topic.type === "MIXED" || topic.type === kind) return;
  throw new BrokerError("type_mismatch", `topic ${topic.name} takes only ${topic.type} messages`, {
    field: path,
    given: kind,
    allowed: topic.type,
    rocketmqCode: 40014, // MESSAGE_PROPERTY_CONFLICT_WITH_TYPE
  });
}

/** Throws where a first attempt was made too long ago to be looked for, or in the future. */
export function expectWithinRetryWindow(firstAttemptAt: number, now: number): void {
  const field = "firstAttemptAt";
  if (firstAttemptAt > now + 2 * limits.clockErrorMsMax) {
    throw new BrokerError("clock_skew", "firstAttemptAt lies in the future of the broker", {
      field,
      given: firstAttemptAt,
      allowed: `at most ${now + 2 * limits.clockErrorMsMax}, by x-broker-time`,
    });
  }
  if (now - firstAttemptAt > limits.retryWindowMs) {
    throw new BrokerError("retry_window_passed", "the first attempt is too long ago to be found", {
      field,
      given: firstAttemptAt,
      allowed: `${now - limits.retryWindowMs} or later`,
    });
  }
}

/** Throws where a batch is larger than the log takes. */
export function expectFits(bytes: number, field: string, messages: number): void {
  if (bytes <= limits.batchBytesMax) return;
  const code = messages === 1 ? "message_too_large" : "batch_too_large";
  throw new BrokerError(
    code,
    `${field} becomes ${bytes} bytes, the limit is ${limits.batchBytesMax}`,
    {
      field,
      limit: limits.batchBytesMax,
      actual: bytes,
    },
  );
}

export function expectMessageCount(count: number, field: string): void {
  if (count < 1 || count > limits.messagesPerRequestMax) {
    throw invalid(field, `${count} messages`, `1 to ${limits.messagesPerRequestMax} messages`);
  }
}
