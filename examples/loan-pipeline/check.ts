/*
 * Waits until all is consumed, and checks: each request became one application and one decision, each approved loan was
 * paid out once and as decided, and no other.
 */
import { conclude, grouped, messagesOf, untilSettled } from "../checking.ts";
import { count } from "../settings.ts";
import { Ledger } from "./ledger.ts";
import { admin, type Decision, groups, type LoanRequest, makeTopics, topics } from "./loans.ts";

const hops = [
  [groups.applications, topics.requests],
  [groups.verification, topics.applications],
  [groups.bank, topics.decisions],
] as const;
await makeTopics();
const wrong = await untilSettled(async () => {
  const left: string[] = [];
  const { queues } = await admin.topic(topics.requests);
  const missing = count - queues.reduce((all, { max }) => all + max, 0);
  if (missing > 0) left.push(`${missing} of ${count} loans are not asked for`);
  for (const [group, topic] of hops) {
    const { total } = await admin.lag(group, topic);
    if (total > 0) left.push(`${total} of ${topic} are not consumed`);
  }
  return left;
});

for (const topic of Object.values(topics)) {
  const messages = await messagesOf(admin, topic);
  const loans = grouped(messages, (message) => message.json<LoanRequest>().loan);
  if (loans.size !== count) wrong.push(`${topic} has ${loans.size} loans of ${count}`);
  for (const [loan, { length }] of loans)
    if (length > 1) wrong.push(`${topic} has ${loan} ${length} times`);
}

const ledger = new Ledger();
const paid = new Map(ledger.loans().map((decision) => [decision.loan, decision]));
const decisions = (await messagesOf(admin, topics.decisions)).map((one) => one.json<Decision>());
for (const { loan, approved, decisionNumber } of decisions) {
  const entry = paid.get(loan);
  if (approved !== (entry !== undefined))
    wrong.push(`${loan} was ${approved ? "approved" : "rejected"}, the ledger says otherwise`);
  else if (approved && entry?.decisionNumber !== decisionNumber)
    wrong.push(`${loan} was paid out by another decision than ${decisionNumber}`);
}
const sum = [...paid.values()].reduce((total, { amount }) => total + amount, 0);
if (sum !== ledger.paid) wrong.push(`the loans make ${sum}, the ledger says ${ledger.paid}`);

conclude(`${count} loans, ${paid.size} approved and paid out once, ${sum} in all`, wrong);
