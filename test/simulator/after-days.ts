import { limits } from "../../src/broker/limits.ts";
import { partitions } from "../../src/broker/schema.ts";
import { readWork } from "../../src/broker/work/work.ts";
import type { Cluster } from "./cluster.ts";
import { largeObjects, missingObjects } from "./large-objects.ts";
import { ownerless, remains, unarchived } from "./leftovers.ts";

const hour = 3_600_000;
/** Longer than any retention of a run, and whatever comes after it. */
const daysMs = 8 * 24 * hour;
/** More than any run leaves to be done. */
const sweepsMax = 2_000;

/** Lets days pass in which somebody sweeps whenever work is due, and answers what is left behind all the same. */
export async function afterDays(cluster: Cluster): Promise<string[]> {
  const { cell } = cluster;
  const { world, store } = cell;
  const endsAt = world.now + daysMs;
  const found: string[] = [];
  let caughtUp = false;
  let objects = (await largeObjects(cell)).length;
  try {
    for (let sweeps = 0; sweeps < sweepsMax; sweeps++) {
      await cluster.ask((broker, io) => broker.sweep(io));
      const [next] = (await store.scan({ partition: partitions.work, limit: 1 })).items;
      if (next === undefined && world.now >= endsAt) break;
      const dueAt = next === undefined ? endsAt : readWork(next).dueAt;
      // Brokers that alarms wake go on beside the auditor, and what they seal is to be archived by their clocks, which may
      // be ahead of his: due for them, and for him in a moment.
      if (dueAt > world.now + limits.clockErrorMsMax && !caughtUp) {
        caughtUp = true;
        for await (const what of ownerless(cell)) found.push(what);
        found.push(...unarchived(cell));
      }
      const left = (await largeObjects(cell)).length;
      if (dueAt > world.now && left < objects)
        for await (const what of missingObjects(cell, world.now)) found.push(what);
      objects = left;
      await world.runTo(Math.max(world.now, dueAt));
    }
  } catch (error) {
    return [...found, `a sweep failed: ${String(error)}`];
  }
  for await (const what of remains(cell)) found.push(what);
  return found;
}
