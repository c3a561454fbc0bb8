/*
 * Takes orders: each is stored in the shop's database and announced to the broker, or neither, wherever this process is
 * killed. The announcement arrives when the time to pay is over. Meanwhile some customers pay. Runs until it is stopped.
 */
import { randomUUID } from "node:crypto";
import { Producer } from "tasso";
import { pause } from "../pause.ts";
import {
  attemptTimeoutMs,
  broker,
  checkMs,
  count,
  paymentWindowMs,
  random,
  timeoutMs,
} from "../settings.ts";
import { Orders } from "./orders.ts";
import { makeTopic, producerGroup, topic } from "./topic.ts";

const orders = new Orders();
await makeTopic();
const producer = new Producer({
  brokers: [broker],
  timeoutMs,
  attemptTimeoutMs,
  group: producerGroup,
  checker: ({ message }) => (orders.isTaken(message.text()) ? "commit" : "rollback"),
});
console.log("the shop is open");
// What became of the orders that a shop before this one left open, it knows from the database.
await producer.answerChecks(topic);
await Promise.all([takeOrders(), takePayments()]);

async function takeOrders(): Promise<void> {
  while (orders.all().length < count) {
    const id = randomUUID();
    const message = { topic, body: id, keys: [id], delayMs: paymentWindowMs };
    const takeOrder = async () => (orders.take(id) ? "commit" : "rollback");
    await producer.sendInTransaction(message, takeOrder, { checkAfterMs: checkMs });
    console.log(`${id} is taken`);
    await pause(random() * 40);
  }
}

/** About half of the orders are paid in time; some payments come just when the order is cancelled. */
async function takePayments(): Promise<void> {
  const everyMs = 20;
  for (;;) {
    for (const { id, state } of orders.all())
      if (state === "open" && random() < everyMs / paymentWindowMs / 1.4) orders.pay(id);
    await pause(everyMs);
  }
}
