import { type DeliveredMessage, isTassoError, SimpleConsumer } from "tasso";
import { attemptTimeoutMs, broker, invisibleMs, timeoutMs, waitMs } from "../settings.ts";
import { makeTopics } from "./loans.ts";

export interface Hop<In, Out> {
  readonly group: string;
  readonly from: string;
  readonly to: string;
  readonly work: (given: In) => Promise<Out>;
}

/**
 * Receives, works, and forwards: what came of a message is sent and the message acknowledged in one commit. Whoever is
 * killed before that commit has sent nothing, and the message comes again; whoever is killed after it is done.
 */
export async function runHop<In, Out>({ group, from, to, work }: Hop<In, Out>): Promise<never> {
  await makeTopics();
  const consumer = new SimpleConsumer({ brokers: [broker], timeoutMs, attemptTimeoutMs, group });
  console.log(`${group} receives from ${from}`);
  const pass = async (message: DeliveredMessage) => {
    const result = { topic: to, body: JSON.stringify(await work(message.json<In>())) };
    try {
      await consumer.forward(message, [result]);
      console.log(`${group} forwarded ${result.body}`);
    } catch (error) {
      // The work took too long: the message is somebody else's by now, and nothing was sent.
      if (!isTassoError(error) || error.code !== "receipt_stale") throw error;
    }
  };
  for (;;) {
    const messages = await consumer.receive(from, { max: 4, invisibleMs, waitMs });
    await Promise.all(messages.map(pass));
  }
}
