// A CommonJS module: Node finds nothing but its default export.
import siphash from "siphash";
import { readU32 } from "../bytes.ts";

/** Words of the key bytes 00 to 0f: the hash that RocketMQ's gRPC clients choose a queue with. */
const key = Uint32Array.of(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c);

/** The queue of a message group: SipHash-2-4 of its UTF-8 bytes modulo the number of queues. Every client and every attempt chooses the same. */
export function queueOfGroup(messageGroup: string, queues: number): number {
  const { h, l } = siphash.hash(key, messageGroup);
  return ((h % queues) * (0x1_0000_0000 % queues) + (l % queues)) % queues;
}

/** The queue of a batch that names neither queue nor group: the same for every attempt, for it comes from the batch id. */
export function queueOfBatch(batchId: Uint8Array, queues: number): number {
  return readU32(batchId, batchId.length - 4) % queues;
}
