import { type DeadLetter, listDeadLetters } from "../../src/broker/consuming/dead-letters.ts";
import { receiptHandleOf } from "../../src/broker/consuming/receipt-handle.ts";
import { acknowledge } from "../../src/broker/consuming/settle-receipts.ts";
import type { Cluster } from "./cluster.ts";
import { type Consumption, uidIn } from "./consumption.ts";

const topic = "orders";
/** Enough for what a run leaves, and for its longest retry. */
const roundsMax = 60;
const idleRoundsMax = 12;

/** Consumes what each group has left, to its end, and looks what its dead letters are. */
export async function consumeEverything(cluster: Cluster, seen: Consumption): Promise<void> {
  const { world } = cluster.cell;
  for (const { name: group, polls } of seen.groups) {
    if (polls) continue;
    const given = new Set<string>();
    for (let round = 0, idle = 0; round < roundsMax && idle < idleRoundsMax; round++) {
      await world.runTo(world.now + 10_000);
      await cluster.ask((broker, io) => broker.sweep(io));
      const places = await cluster.ask(async (broker, io) => {
        const all: string[] = [];
        for (;;) {
          const { messages } = await broker.receiving.receive(io, {
            ...{ group, topic, max: 128, bytesMax: 4_000_000, invisibleMs: 60_000, waitMs: 0 },
          });
          if (messages.length === 0) return all;
          all.push(...messages.map(({ queue, stored }) => `${topic}/${queue}@${stored.offset}`));
          const handles = messages.map(({ receipt }) => receiptHandleOf(receipt));
          await acknowledge(io, broker, { group, handles });
        }
      });
      for (const place of places) given.add(place);
      idle = places.length > 0 ? 0 : idle + 1;
    }
    seen.drained.set(group, given);
    await cluster.ask((broker, io) => broker.sweep(io));
    const letters: DeadLetter[] = [];
    for (let offset: number | undefined, end = 1; (offset ?? 0) < end; ) {
      const from = offset;
      const page = await cluster.ask((broker, io) =>
        listDeadLetters(io, broker, { group, offset: from, max: 1_000, bytesMax: 4_000_000 }),
      );
      letters.push(...page.deadLetters);
      ({ nextOffset: offset, max: end } = page);
    }
    for (const { stored, past } of letters) {
      const place = `${past.topic}/${past.queue}@${past.offset}`;
      const { attempts, reason } = past;
      seen.deadLetters.push({ group, uid: uidIn(stored.message.body), place, attempts, reason });
    }
  }
}
