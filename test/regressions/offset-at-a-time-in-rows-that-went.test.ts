import { expect, test } from "vitest";
import { appendRows, segmentedWorld } from "../support/segmented-world.ts";

const hour = 60 * 60_000;

/**
 * Found by the simulator (seed 62 of 2,000 steps). A broker stopped for hours between the directory and the rows, which
 * were archived and dropped meanwhile. It took the segment for one without rows, and sent its reader to messages that had
 * been stored long before.
 */
test("who looks for a time in rows that have gone meanwhile looks at the directory again", async () => {
  const { io, clock, store, queue, newBroker } = await segmentedWorld();
  const broker = newBroker();
  await appendRows(io, broker.log, queue, 2);
  clock.pass(1_000);
  const slow = newBroker();
  const scan = store.scan.bind(store);
  // It has read the directory and is about to read the rows.
  store.scan = async (range) => {
    if (range.partition[0] !== "B".charCodeAt(0)) return scan(range);
    store.scan = scan;
    await broker.log.seal(io, queue);
    await broker.sweep(io);
    clock.pass(2 * hour);
    await broker.sweep(io);
    return scan(range);
  };
  const at = clock.now();
  expect(await slow.log.offsetAt(io, queue, at)).toBe(2);
});
