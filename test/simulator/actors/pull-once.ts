import { crc32c } from "../../../src/broker/crc32c.ts";
import { decodeBatch } from "../../../src/broker/log/batch.ts";
import { placedBatches } from "../../../src/broker/log/batch-row.ts";
import type { RowsRead } from "../../../src/broker/log/log-reader.ts";
import type { Message } from "../../../src/broker/log/message.ts";
import type { Ports } from "../../../src/broker/ports/ports.ts";
import type { Auditor, Pull, SeenMessage } from "../auditor.ts";
import type { Client } from "../client.ts";
import type { Reply } from "../cluster.ts";

export interface PullRequest {
  readonly topic: string;
  readonly queue: number;
  readonly from: number;
  readonly max: number;
  readonly waitMs: number;
}

/** One pull, told to the auditor. `undefined` where it was not answered. */
export async function pullOnce(
  client: Client,
  auditor: Auditor,
  request: PullRequest,
): Promise<Pull | undefined> {
  const { topic, queue, from, max, waitMs } = request;
  const startedAt = client.world.now;
  const reply = await client.call("pull", async (broker, io) => {
    const { id } = await broker.topics.get(io, topic);
    const options = { messagesMax: max, bytesMax: 100_000, waitMs };
    const read = await broker.log.read(io, { topicId: id, queue }, from, options);
    return { min: read.minOffset, max: read.maxOffset, messages: await messagesOf(io, read, from) };
  });
  const seen = { reader: client.name, topic, queue, from, startedAt, endedAt: client.world.now };
  if (reply.outcome === "refused" && reply.error.code === "out_of_range") {
    const { min, max: end } = reply.error.details as { min: number; max: number };
    const pull: Pull = { ...seen, messages: [], min, max: end, outOfRange: true };
    auditor.pulls.push(pull);
    return pull;
  }
  noteDamage(client, auditor, reply, { topic, place: `${topic}/${queue}@${from}` });
  if (reply.outcome !== "ok") return undefined;
  const pull: Pull = { ...seen, ...reply.value, outOfRange: false };
  auditor.pulls.push(pull);
  return pull;
}

/** Tells the auditor if a reader was answered that bytes are damaged, or a topic that is never deleted is gone. */
export function noteDamage(
  { name: reader }: Client,
  auditor: Auditor,
  reply: Reply<unknown>,
  { topic, place }: { readonly topic: string; readonly place: string },
): void {
  if (reply.outcome === "unknown" && reply.damaged)
    auditor.damages.push({ what: "damaged", reader, place });
  if (reply.outcome === "refused" && reply.error.status === 404 && !auditor.volatile.has(topic))
    auditor.damages.push({ what: "gone", reader, place });
}

/** The messages of what was read, from an offset on. */
export async function messagesOf(
  io: Ports,
  { rows }: Pick<RowsRead, "rows">,
  from: number,
): Promise<SeenMessage[]> {
  const messages: SeenMessage[] = [];
  for (const { base, storedAt, batch } of rows.flatMap(placedBatches)) {
    const decoded = await decodeBatch(batch, io.compression);
    decoded.forEach((message, index) => {
      if (base + index >= from)
        messages.push({ offset: base + index, storedAt, ...contentOf(message) });
    });
  }
  return messages;
}

/** What a body shows: the uid that its producer put in front, and whether it is whole. */
export function contentOf({ body }: Message): Pick<SeenMessage, "uid" | "checksum"> {
  const [uid = ""] = Buffer.from(body.subarray(0, 40)).toString("latin1").split(" ");
  return { uid, checksum: crc32c(body) };
}
