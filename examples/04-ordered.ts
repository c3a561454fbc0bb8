import { Admin, Producer, SimpleConsumer } from "tasso";

const brokers = [process.env["TASSO_URL"] ?? "http://127.0.0.1:1290"];
const admin = new Admin({ brokers });
const producer = new Producer({ brokers });

// All in one order: a topic with one queue.
await admin.createTopic("till", { queues: 1, type: "FIFO" });
for (const body of ["open", "sell", "close"])
  await producer.send({ topic: "till", messageGroup: "till", body });

// In order for each customer: a message group always goes to the same of many queues.
await admin.createTopic("orders-by-customer", { queues: 8, type: "FIFO" });
for (const body of ["ordered", "paid", "shipped"])
  for (const messageGroup of ["anna", "bruno"])
    await producer.send({ topic: "orders-by-customer", messageGroup, body });
await producer.close();

// An orderly group gives out the next one of a message group when the one before is acknowledged.
await admin.createGroup("shipping", { orderly: true });
const consumer = new SimpleConsumer({ brokers, group: "shipping" });
for (let seen = 0; seen < 6; seen++) {
  const [message] = await consumer.receive("orders-by-customer", { max: 1, waitMs: 5_000 });
  if (message === undefined) throw new Error("nothing came within 5 s");
  console.log(`${message.messageGroup}: ${message.text()}`);
  await consumer.ack(message);
}
