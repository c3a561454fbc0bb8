/**
 * What a program needs to be a broker itself: no server, no function, one write of the store for a send. It brings the ports
 * (`tasso/local`, `tasso/aws`, or its own), makes a {@link Broker} with them, and passes the ports to each call.
 */

export { Broker } from "./broker.ts";
export { type ForwardRequest, forward } from "./consuming/forward.ts";
export type { ForwardedTo, ForwardResult } from "./consuming/forward-record.ts";
export type { Received } from "./consuming/give-out.ts";
export { type MessagesRead, readMessages } from "./consuming/read-messages.ts";
export { receiptHandleOf } from "./consuming/receipt-handle.ts";
export type { ReceiveAnswer, ReceiveRequest } from "./consuming/receive.ts";
export { acknowledge, extend, giveBack, type Settled } from "./consuming/settle-receipts.ts";
export { BrokerError, type ErrorCode, errorTable, isBrokerError } from "./errors.ts";
export { limits } from "./limits.ts";
export type { LogSettings } from "./log/log-settings.ts";
export type { StoredMessage } from "./log/stored-messages.ts";
export type { Alarm, AlarmId } from "./ports/alarm.ts";
export type { BlobKey, Blobs } from "./ports/blobs.ts";
export type { Clock } from "./ports/clock.ts";
export type { Compression } from "./ports/compression.ts";
export { Damaged, Unavailable } from "./ports/failures.ts";
export type { Ports } from "./ports/ports.ts";
export type { Random } from "./ports/random.ts";
export type { Expectation, Item, Key, Store, Version } from "./ports/store.ts";
export { ownKey, ownPartition } from "./schema.ts";
export type { OutgoingMessage } from "./sending/outgoing-message.ts";
export type { OwnWrite } from "./sending/own-rows.ts";
export { type SendRequest, type SendResult, sendMessages } from "./sending/send-messages.ts";
export {
  type SendWithRowsRequest,
  type SentWithRows,
  sendWithRows,
} from "./sending/send-with-rows.ts";
