/*
 * Waits until nothing is open, and checks: each order was paid or cancelled, none before its time, the stock agrees, and
 * exactly those orders were announced that were taken, each once.
 */
import { conclude, grouped, listed, messagesOf, untilSettled } from "../checking.ts";
import { count } from "../settings.ts";
import { Orders } from "./orders.ts";
import { admin, consumerGroup, makeTopic, topic } from "./topic.ts";

const orders = new Orders();
await makeTopic();
const unsettled = await untilSettled(async () => {
  const prepared = await listed(admin.transactions({ state: "PREPARED" }));
  const delayed = await listed(admin.delayed(topic));
  const { total } = await admin.lag(consumerGroup, topic);
  const open = orders.all().filter(({ state }) => state === "open");
  const missing = count - orders.all().length;
  return [
    ...(missing > 0 ? [`${missing} of ${count} orders are not taken`] : []),
    ...prepared.map(({ transactionId }) => `transaction ${transactionId} is still open`),
    ...delayed.map(({ messageId }) => `message ${messageId} still waits`),
    ...(total > 0 ? [`${total} messages are not consumed`] : []),
    ...open.map(({ id }) => `${id} is still open`),
  ];
});

const taken = orders.all().filter(({ state }) => state !== "refused");
const announced = grouped(await messagesOf(admin, topic), (message) => message.text());
const wrong = [...unsettled, ...orders.wrong()];
for (const { id } of taken) {
  const times = announced.get(id)?.length ?? 0;
  if (times !== 1) wrong.push(`${id} was announced ${times} times`);
  announced.delete(id);
}
for (const id of announced.keys()) wrong.push(`${id} was announced and is no order`);

const refused = orders.all().length - taken.length;
const cancelled = taken.filter(({ state }) => state === "cancelled").length;
conclude(
  `${taken.length} orders, ${taken.length - cancelled} paid, ${cancelled} cancelled, ${refused} refused`,
  wrong,
);
