import { readU32 } from "../bytes.ts";
import { BrokerError } from "../errors.ts";
import { textHash } from "../text-hash.ts";
import type { Topic } from "./topic.ts";

/** The queue of a message group: SipHash-2-4 of its UTF-8 bytes modulo the number of queues. Every client and every attempt chooses the same. */
export function queueOfGroup(messageGroup: string, queues: number): number {
  const { high, low } = textHash(messageGroup);
  return ((high % queues) * (0x1_0000_0000 % queues) + (low % queues)) % queues;
}

/** The queue of a batch that names neither queue nor group: the same for every attempt, for it comes from the batch id. */
export function queueOfBatch(batchId: Uint8Array, queues: number): number {
  return readU32(batchId, batchId.length - 4) % queues;
}

/** Throws `queue_not_found` where the topic has no such queue; `field` is where the caller named it. */
export function expectQueue(topic: Topic, queue: number, field = "queue"): void {
  if (queue < topic.queues) return;
  throw new BrokerError(
    "queue_not_found",
    `topic ${topic.name} has the queues 0 to ${topic.queues - 1}`,
    {
      field,
      given: queue,
      topic: topic.name,
      queue,
      allowed: `0 to ${topic.queues - 1}`,
    },
  );
}
