/** The client library: what `import ... from "tasso"` gives. It stands on web standards alone. */
export { Admin } from "./admin.ts";
export type { CallOptions } from "./connection.ts";
export type { Authorize, Fetch } from "./http.ts";
export type { DelayedReceipt, Message, Receipt, StoredReceipt } from "./message.ts";
export type { ClientOptions } from "./options.ts";
export { Producer, type ProducerOptions, type SendCallback } from "./producer.ts";
export {
  type PollOptions,
  PullConsumer,
  type PullConsumerOptions,
  type QueuePlace,
} from "./pull-consumer.ts";
export {
  type Handler,
  type HandlerContext,
  type HandlerOutcome,
  PushConsumer,
  type PushConsumerOptions,
} from "./push-consumer.ts";
export type { ReceiveOptions } from "./receive.ts";
export { DeliveredMessage, ReceivedMessage } from "./received-message.ts";
export {
  type NackOptions,
  SimpleConsumer,
  type SimpleConsumerOptions,
} from "./simple-consumer.ts";
export { isTassoError, TassoError, type TassoErrorCode } from "./tasso-error.ts";
export type {
  Checker,
  Outcome,
  TransactionOptions,
  TransactionReceipt,
} from "./transactions.ts";
