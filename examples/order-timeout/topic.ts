import { Admin } from "tasso";
import { broker, checkMs, timeoutMs } from "../settings.ts";

/** A message for each order, which arrives when the time to pay it is over. */
export const topic = "payment-deadlines";
export const producerGroup = "shop";
export const consumerGroup = "canceller";

export const admin = new Admin({ brokers: [broker], timeoutMs });

/** Again is fine. */
export async function makeTopic(): Promise<void> {
  await admin.createTopic(topic, { queues: 2 });
  await admin.createGroup(consumerGroup);
  await admin.request("PUT", `/v1/producer-groups/${producerGroup}`, { checkEveryMs: checkMs });
}
