import { allItems } from "../all-items.ts";
import type { Ports } from "../ports/ports.ts";
import { type Item, storeLimits } from "../ports/store.ts";
import { checkShards, partitions } from "../schema.ts";
import { putWork, type Work } from "../work/work.ts";
import type { WorkDone } from "../work/work-queue.ts";
import { checkDueAt } from "./check-entry.ts";
import { discard, isExhausted, openHalves } from "./checks.ts";
import type { ProducerGroups } from "./producer-groups.ts";

/**
 * Halves that are open are looked after again so much later (ms). Those who poll end what is exhausted by themselves, so
 * for them it is to end what nobody polls for, and 72 hours may become so much longer; a webhook that no alarm rang for
 * waits for it.
 */
const againMs = { polled: 10 * 60_000, asked: 60_000 };
const discardedAtOnce = 100;

/**
 * Looks after the halves of a producer group that are due: ends those that nobody is asked about any more, and comes again
 * as long as any is open. Groups with a webhook are told to `onOpen`; whom else to ask is for those who poll.
 */
export async function doCheckBack(
  io: Ports,
  work: Extract<Work, { kind: "check-back" }>,
  groups: ProducerGroups,
  onOpen: (producerGroup: string) => void,
): Promise<WorkDone> {
  const { producerGroup } = work;
  const group = await groups.get(io, producerGroup);
  let isOpen = false;
  let discarded = 0;
  for (let shard = 0; shard < checkShards; shard++) {
    for await (const entries of dueInPages(io, shard, producerGroup, () => (isOpen = true))) {
      for (const half of await openHalves(io, entries)) {
        if (!isExhausted(io, half, group)) {
          isOpen = true;
          continue;
        }
        await discard(io, half);
        if (++discarded === discardedAtOnce) return "again";
      }
    }
  }
  // Discards whose outcome nobody knows are looked at once more.
  if (!isOpen && discarded === 0) return { writes: [] };
  const isAsked = group.webhook !== undefined;
  if (isAsked && isOpen) onOpen(producerGroup);
  const dueAt = io.clock.now() + (isAsked ? againMs.asked : againMs.polled);
  return { writes: [putWork(io, { dueAt, work })] };
}

async function* dueInPages(
  io: Ports,
  shard: number,
  producerGroup: string,
  onLater: () => void,
): AsyncGenerator<Item[]> {
  const partition = partitions.checks(shard, producerGroup);
  let page: Item[] = [];
  for await (const entry of allItems(io, { partition })) {
    if (checkDueAt(entry) > io.clock.now()) {
      onLater();
      break;
    }
    page.push(entry);
    if (page.length < storeLimits.getKeysMax) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}
