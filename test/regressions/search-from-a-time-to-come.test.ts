import { expect, test } from "vitest";
import { search } from "../../src/broker/searching/search.ts";
import { newBatch, segmentedWorld } from "../support/segmented-world.ts";

/**
 * Found by the simulator (seed 23 of 2,000 steps): a message came between the two reads of a search that began a little
 * after the broker's time, and was found though it was stored before that.
 */
test("a search finds nothing that was stored before its beginning, though it came meanwhile", async () => {
  for (let pause = 1; pause < 12; pause++) {
    const { io, clock, store, queue, newBroker } = await segmentedWorld();
    let reads = 0;
    store.beforeRead = async () => {
      if (++reads !== pause) return;
      store.beforeRead = undefined;
      await newBroker().log.append(io, queue, newBatch([{ keys: ["k"] }]));
    };
    const request = { topic: "orders", key: "k", from: clock.now() + 100, limit: 10 };
    const { found, nextCursor } = await search(io, newBroker(), request);
    expect({ pause, found, nextCursor }).toEqual({ pause, found: [], nextCursor: undefined });
  }
});
