/*
 * The end of the chain: pays out approved loans. Its ledger is no part of the broker's commit, so it knows by the loan
 * which ones were paid. Runs until it is stopped.
 */
import { SimpleConsumer } from "tasso";
import { attemptTimeoutMs, broker, invisibleMs, timeoutMs, waitMs } from "../settings.ts";
import { Ledger } from "./ledger.ts";
import { type Decision, groups, makeTopics, topics } from "./loans.ts";

const ledger = new Ledger();
await makeTopics();
const consumer = new SimpleConsumer({
  brokers: [broker],
  timeoutMs,
  attemptTimeoutMs,
  group: groups.bank,
});
console.log("the bank is open");
for (;;) {
  for (const message of await consumer.receive(topics.decisions, { max: 4, invisibleMs, waitMs })) {
    const decision = message.json<Decision>();
    if (decision.approved && ledger.payOut(decision)) console.log(`${decision.loan} is paid out`);
    await consumer.ack(message);
  }
}
