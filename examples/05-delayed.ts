import { Admin, Producer, SimpleConsumer } from "tasso";

const brokers = [process.env["TASSO_URL"] ?? "http://127.0.0.1:1290"];
await new Admin({ brokers }).createTopic("reminders", { queues: 4 });
const producer = new Producer({ brokers });

// Or `deliverAt`, or RocketMQ's `delayLevel`. Up to a year.
const tomorrow = await producer.send({ topic: "reminders", body: "never", delayMs: 86_400_000 });
await producer.send({ topic: "reminders", body: "take it out of the oven", delayMs: 2_000 });

// Nobody sees it any more. Too late, and it throws `recall_too_late` with where the message lies.
if ("recallHandle" in tomorrow) await producer.recall(tomorrow);
await producer.close();

const consumer = new SimpleConsumer({ brokers, group: "kitchen" });
const [message] = await consumer.receive("reminders", { waitMs: 20_000 });
if (message === undefined) throw new Error("nothing came within 20 s");
console.log(`"${message.text()}" came after ${message.storedAt - message.bornAt} ms`);
await consumer.ack(message);
