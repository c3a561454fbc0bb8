/* Customers who ask for loans: this fills the first topic, once. */
import { Producer } from "tasso";
import { broker, count, random, timeoutMs } from "../settings.ts";
import { type LoanRequest, makeTopics, topics } from "./loans.ts";

await makeTopics();
const producer = new Producer({ brokers: [broker], timeoutMs });
const messages = Array.from({ length: count }, (_, index) => {
  const request: LoanRequest = { loan: `loan-${index}`, amount: 1 + Math.floor(random() * 1_000) };
  return { topic: topics.requests, body: JSON.stringify(request) };
});
await producer.send(messages);
await producer.close();
