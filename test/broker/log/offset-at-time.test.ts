import { describe, expect, it } from "vitest";
import { seededRandom } from "../../../src/adapters/faulty/faults.ts";
import { limits } from "../../../src/broker/limits.ts";
import { refusalOf } from "../../support/code-of.ts";
import {
  appendRows,
  newBatch,
  segmentedWorld,
  segmentsOf,
  smallSegments,
} from "../../support/segmented-world.ts";

const hour = 60 * 60_000;
const years = 100 * 365 * 24 * hour;

describe("the offset at a time", () => {
  it("is that of the first message stored at or after it, whatever holds it", async () => {
    for (const swept of [false, true]) {
      const { io, queue, newBroker, stored } = await filledQueue();
      if (swept) await newBroker().sweep(io);
      const states = new Set((await segmentsOf(io, queue)).map((each) => each.split(" ")[0]));
      expect(states).toEqual(new Set([swept ? "archived" : "sealed", "open"]));
      const max = stored.length;
      for (const at of new Set(stored.flatMap((time) => [time - 1, time, time + 1]))) {
        const first = stored.findIndex((time) => time >= at);
        expect(await newBroker().log.offsetAt(io, queue, at)).toBe(first === -1 ? max : first);
      }
      expect(await newBroker().log.offsetAt(io, queue, 0)).toBe(0);
      expect(await newBroker().log.offsetAt(io, queue, years)).toBe(max);
    }
  });

  it("is found within an archive of many blocks by one ranged get", async () => {
    const settings = { ...smallSegments, segmentRowsMax: 1_000 };
    const { io, clock, blobs, queue, newBroker } = await segmentedWorld({ settings });
    const { log } = newBroker();
    const stored: number[] = [];
    for (let row = 0; row < 60; row++) {
      await log.append(io, queue, newBatch([{ body: new Uint8Array(20_000) }]));
      stored.push(clock.now());
      if (row % 3 === 0) clock.pass(10);
    }
    await log.seal(io, queue);
    await newBroker().sweep(io);
    for (const at of new Set(stored.flatMap((time) => [time - 1, time, time + 1]))) {
      blobs.reads = 0;
      const first = stored.findIndex((time) => time >= at);
      expect(await log.offsetAt(io, queue, at)).toBe(first === -1 ? 60 : first);
      expect(blobs.reads).toBeLessThanOrEqual(1);
    }
  });

  it("takes as many reads as the range of offsets has bits, and four", async () => {
    const settings = { ...smallSegments, segmentRowsMax: 2 };
    const { io, store, blobs, clock, queue, newBroker } = await segmentedWorld({ settings });
    const { log } = newBroker();
    const begin = clock.now();
    for (let row = 0; row < 400; row++) {
      await log.append(io, queue, newBatch(Array.from({ length: 1 + (row % 5) }, () => ({}))));
      clock.pass(10);
    }
    for (let sweep = 0; sweep < 3; sweep++) await newBroker().sweep(io);
    const { max } = await log.range(io, queue);
    const readsMax = Math.ceil(Math.log2(max)) + 4;
    for (let at = begin - 10; at < clock.now() + 20; at += 35) {
      [store.reads, blobs.reads] = [0, 0];
      await log.offsetAt(io, queue, at);
      expect(store.reads + blobs.reads).toBeLessThanOrEqual(readsMax);
    }
  });

  it("is the end of an empty queue, and 404 where there is no queue", async () => {
    const { io, queue, newBroker } = await segmentedWorld();
    const { log } = newBroker();
    for (const at of [0, io.clock.now(), years]) expect(await log.offsetAt(io, queue, at)).toBe(0);
    await appendRows(io, log, queue, 3);
    await log.seal(io, queue);
    expect(await log.offsetAt(io, queue, 0)).toBe(0);
    expect(await log.offsetAt(io, queue, years)).toBe(3);
    const nowhere = { topicId: 99, queue: 0 };
    expect(await refusalOf(log.offsetAt(io, nowhere, 0))).toMatchObject({
      code: "queue_not_found",
    });
  });

  it("is never below what is left, for a time before it", async () => {
    const retentionMs = 2 * hour;
    const { io, clock, queue, newBroker, topic } = await segmentedWorld({ retentionMs });
    const { log } = newBroker();
    const begin = clock.now();
    for (let row = 0; row < 8; row++) await log.append(io, queue, newBatch(), topic);
    clock.pass(hour);
    for (let row = 0; row < 2; row++) await log.append(io, queue, newBatch(), topic);
    clock.pass(hour);
    await newBroker().sweep(io);
    for (const at of [0, begin, begin + 1, begin + hour])
      expect(await log.offsetAt(io, queue, at), `${at - begin}`).toBe(8);
    expect(await log.offsetAt(io, queue, begin + hour + 1)).toBe(10);
  });

  it("is right where segments are sealed, archived and trimmed between its reads", async () => {
    const retentionMs = hour;
    for (let pause = 1; pause < 12; pause++) {
      for (const change of ["seal", "archive", "trim"]) {
        const { io, clock, store, queue, newBroker, topic } = await segmentedWorld({ retentionMs });
        const { log } = newBroker();
        const stored: number[] = [];
        for (let row = 0; row < 22; row++) {
          stored.push(clock.now());
          await log.append(io, queue, newBatch(), topic);
          clock.pass(10);
        }
        let reads = 0;
        store.beforeRead = async () => {
          if (++reads !== pause) return;
          store.beforeRead = undefined;
          if (change === "seal") await newBroker().log.seal(io, queue);
          if (change === "trim") clock.pass(hour - 100);
          if (change !== "seal") await newBroker().sweep(io);
          if (change === "trim") {
            clock.pass(limits.rowLifeMsMin);
            await newBroker().sweep(io);
          }
        };
        const at = stored[9] ?? 0;
        const offset = await newBroker().log.offsetAt(io, queue, at);
        store.beforeRead = undefined;
        const { min } = await newBroker().log.range(io, queue);
        // What was there when it was looked for may be trimmed by now; nothing that is left is passed over.
        if (change === "trim") expect([9, Math.max(9, min)]).toContain(offset);
        else expect(offset).toBe(9);
      }
    }
  });
});

/** 50 messages in segments of four rows: several share a millisecond, sometimes across a seal. */
async function filledQueue() {
  const world = await segmentedWorld();
  const { io, clock, queue, newBroker } = world;
  const { log } = newBroker();
  const draw = seededRandom(5);
  const stored: number[] = [];
  for (let row = 0; row < 25; row++) {
    await log.append(io, queue, newBatch([{}, {}]));
    stored.push(clock.now(), clock.now());
    if (draw() < 0.4) clock.pass(Math.floor(draw() * 50));
  }
  return { ...world, stored };
}
