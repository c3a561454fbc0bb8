/*
 * Cancels orders whose time to pay is over. It may meet a message twice, and an order that was paid: its database knows.
 * Runs until it is stopped.
 */
import { PushConsumer } from "tasso";
import { attemptTimeoutMs, broker, invisibleMs, timeoutMs, waitMs } from "../settings.ts";
import { Orders } from "./orders.ts";
import { consumerGroup, makeTopic, topic } from "./topic.ts";

const orders = new Orders();
await makeTopic();
const consumer = new PushConsumer({
  brokers: [broker],
  timeoutMs,
  attemptTimeoutMs,
  invisibleMs,
  waitMs,
  group: consumerGroup,
  subscriptions: { [topic]: "*" },
  handler: (message) => {
    const id = message.text();
    if (orders.cancel(id)) console.log(`${id} was not paid in time and is cancelled`);
  },
});
await consumer.start();
console.log("orders that nobody pays are cancelled");
