import { receiptHandleOf } from "../../src/broker/consuming/receipt-handle.ts";
import { acknowledge } from "../../src/broker/consuming/settle-receipts.ts";
import { ownPartition } from "../../src/broker/schema.ts";
import type { Cluster } from "./cluster.ts";
import { uidIn } from "./consumption.ts";
import { type Forwarding, forwardTopics, forwardGroup as group } from "./forwarding.ts";
import { readLog } from "./read-log.ts";

/** Longer than any run; what is received is given out again however often it was before. */
const retentionMs = 72 * 3_600_000;
const maxAttempts = 1_000;

export async function makeForwardTopics(cluster: Cluster): Promise<void> {
  for (const { name, queues } of forwardTopics)
    await cluster.ask((broker, io) => broker.topics.ensure(io, name, { queues, retentionMs }));
  await cluster.ask((broker, io) => broker.groups.ensure(io, group, { maxAttempts, retryMs: [0] }));
}

/** What is there when everything has come to rest, and what the group has not acknowledged. */
export async function readForwards(cluster: Cluster, seen: Forwarding): Promise<void> {
  const { world } = cluster.cell;
  const topics = forwardTopics.map((topic) => ({ ...topic, volatile: false, retentionMs }));
  for (const { topic, messages, unreadable } of await readLog(cluster, { topics })) {
    if (unreadable !== undefined) seen.unreadable.push(`${topic}: ${unreadable}`);
    const counts = seen.found.get(topic) ?? new Map<string, number>();
    seen.found.set(topic, counts);
    for (const { uid } of messages) counts.set(uid, (counts.get(uid) ?? 0) + 1);
  }
  await cluster.ask(async (_, io) => {
    for (let from: Uint8Array | undefined; ; ) {
      const range = { partition: ownPartition("enlisted"), limit: 1_000 };
      const page = await io.store.scan(from === undefined ? range : { ...range, from });
      for (const { value } of page.items) seen.rows.add(new TextDecoder().decode(value));
      if (!page.more) return;
      from = page.items.at(-1)?.key.sort;
    }
  });
  // Whatever is invisible comes again.
  await world.runTo(world.now + 120_000);
  await cluster.ask(async (broker, io) => {
    for (;;) {
      const { messages } = await broker.receiving.receive(io, {
        ...{ group, topic: "inbox", max: 128, bytesMax: 4_000_000 },
        ...{ invisibleMs: 3_600_000, waitMs: 0 },
      });
      if (messages.length === 0) return;
      for (const { stored } of messages) seen.drained.add(uidIn(stored.message.body));
      const handles = messages.map(({ receipt }) => receiptHandleOf(receipt));
      await acknowledge(io, broker, { group, handles });
    }
  });
}
