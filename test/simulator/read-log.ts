import { isBrokerError } from "../../src/broker/errors.ts";
import { Unavailable } from "../../src/broker/ports/failures.ts";
import type { QueueId } from "../../src/broker/schema.ts";
import { messagesOf } from "./actors/pull-once.ts";
import type { FinalLog, SeenMessage } from "./auditor.ts";
import type { Cluster } from "./cluster.ts";
import type { Scenario } from "./scenario.ts";

/** All that can be read of the topics that are never deleted, when everything has come to rest. */
export async function readLog(
  cluster: Cluster,
  { topics }: Pick<Scenario, "topics">,
): Promise<FinalLog[]> {
  const found: FinalLog[] = [];
  for (const { name: topic, volatile } of topics) {
    if (volatile) continue;
    const { id, queues } = await cluster.ask((broker, io) => broker.topics.get(io, topic));
    for (let queue = 0; queue < queues; queue++)
      found.push({ topic, queue, ...(await readQueue(cluster, { topicId: id, queue })) });
  }
  return found;
}

/** So many passes over a queue are enough for any sweep that works. */
const passesMax = 50;

/** One pass over a queue; another one where it was trimmed meanwhile, or has to be. */
async function readQueue(
  cluster: Cluster,
  queue: QueueId,
  passes = passesMax,
): Promise<Omit<FinalLog, "topic" | "queue">> {
  const messages: SeenMessage[] = [];
  const range = { min: 0, max: 0 };
  try {
    Object.assign(range, await cluster.ask((broker, io) => broker.log.range(io, queue)));
    for (let offset = range.min; offset < range.max; ) {
      const found = await cluster.ask(async (broker, io) => {
        const read = await broker.log.read(io, queue, offset, {
          messagesMax: 500,
          bytesMax: 4_000_000,
          waitMs: 0,
        });
        return messagesOf(io, read, offset);
      });
      messages.push(...found);
      offset = (found.at(-1)?.offset ?? range.max) + 1;
    }
    return { ...range, messages };
  } catch (error) {
    const again = () => readQueue(cluster, queue, passes - 1);
    if (passes > 1) {
      if (isBrokerError(error) && error.code === "out_of_range") return again();
      // What has expired and nobody came to remove is for a sweep, not for readers.
      if (error instanceof Unavailable) {
        await cluster.ask((broker, io) => broker.sweep(io));
        return again();
      }
    }
    return { ...range, messages, unreadable: String(error) };
  }
}
