import { SimpleConsumer } from "../../client/index.ts";
import { type Session, wholeNumber } from "../session.ts";

export interface ReceiveOptions {
  readonly max?: string;
  readonly waitMs?: string;
  readonly invisibleMs?: string;
  readonly ack?: boolean;
}

/** Receives for a group. Without `ack` what was shown comes again when its invisible time is over. */
export async function receive(
  { client, terminal }: Session,
  group: string,
  topic: string,
  options: ReceiveOptions,
): Promise<void> {
  const { max = "1", waitMs = "0", invisibleMs, ack = false } = options;
  await using consumer = new SimpleConsumer({ ...client, group });
  const messages = await consumer.receive(topic, {
    max: wholeNumber(max),
    waitMs: wholeNumber(waitMs),
    ...(invisibleMs === undefined ? {} : { invisibleMs: wholeNumber(invisibleMs) }),
  });
  if (ack && messages.length > 0) await consumer.ack(messages);
  const rows = messages.map((message) => {
    const { broker, queue, offset, messageId, tag, deliveryAttempt, receiptHandle } = message;
    const place = { broker, queue, offset, messageId, tag, deliveryAttempt, receiptHandle };
    return { ...place, body: message.text() };
  });
  await terminal.rows(rows, ["queue", "offset", "messageId", "tag", "deliveryAttempt", "body"]);
}
