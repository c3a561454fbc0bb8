import { describe, expect, it } from "vitest";
import { hex } from "../../../src/broker/bytes.ts";
import { limits } from "../../../src/broker/limits.ts";
import { readLastRow } from "../../../src/broker/log/queue-rows.ts";
import { isIn } from "../../../src/broker/log/segment.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import { partitions } from "../../../src/broker/schema.ts";
import { refusalOf } from "../../support/code-of.ts";
import { everythingIn } from "../../support/queues.ts";
import {
  appendRows,
  blobsOf,
  entriesOf,
  newBatch,
  readOn,
  segmentedWorld,
  segmentsOf,
  smallSegments,
} from "../../support/segmented-world.ts";

const minute = 60_000;
const hour = 60 * minute;
const atOnce = { messagesMax: 10, bytesMax: 100_000, waitMs: 0 };

describe("a segment is sealed", () => {
  it("when it has so many rows, before the next one", async () => {
    const { io, queue, newBroker } = await segmentedWorld();
    const { log } = newBroker();
    await appendRows(io, log, queue, 4);
    expect(await segmentsOf(io, queue)).toEqual(["open 0"]);
    await appendRows(io, log, queue, 5);
    expect(await segmentsOf(io, queue)).toEqual(["sealed 0", "sealed 4", "open 8"]);
  });

  it("when it has so many bytes, before the next row", async () => {
    const settings = { ...smallSegments, segmentRowsMax: 1_000, segmentBytesMax: 10_000 };
    const { io, queue, newBroker } = await segmentedWorld({ settings });
    await appendRows(io, newBroker().log, queue, 8, [{ body: new Uint8Array(3_000) }]);
    expect(await segmentsOf(io, queue)).toEqual(["sealed 0", "open 4"]);
    const [first] = await entriesOf(io, queue);
    expect(first?.segment).toMatchObject({ end: 4, bytes: expect.any(Number) });
  });

  it("when it is old: by the next append, or by a sweep", async () => {
    const { io, clock, queue, newBroker } = await segmentedWorld();
    const broker = newBroker();
    await appendRows(io, broker.log, queue, 1);
    clock.pass(hour);
    await appendRows(io, broker.log, queue, 1);
    expect(await segmentsOf(io, queue)).toEqual(["sealed 0", "open 1"]);
    clock.pass(hour);
    await newBroker().sweep(io);
    expect(await segmentsOf(io, queue)).toEqual(["archived 0", "archived 1", "empty 2"]);
    await appendRows(io, broker.log, queue, 1);
    expect(await segmentsOf(io, queue)).toEqual(["archived 0", "archived 1", "open 2"]);
  });

  it("when it is asked for, once, and only if it holds something", async () => {
    const { io, queue, newBroker } = await segmentedWorld();
    const { log } = newBroker();
    expect(await log.seal(io, queue)).toBe(0);
    expect(await segmentsOf(io, queue)).toEqual(["empty 0"]);
    await appendRows(io, log, queue, 2);
    for (const other of [newBroker().log, newBroker().log, log]) {
      expect(await other.seal(io, queue)).toBe(2);
      expect(await segmentsOf(io, queue)).toEqual(["sealed 0", "empty 2"]);
    }
    await appendRows(io, log, queue, 1);
    expect(await segmentsOf(io, queue)).toEqual(["sealed 0", "open 2"]);
  });

  it("with all that goes with it in one commit, or not at all", async () => {
    const { io, store, queue, newBroker } = await segmentedWorld();
    await appendRows(io, newBroker().log, queue, 3);
    let writes = 0;
    store.beforeCommit = async (all) => {
      writes = all.length;
      store.beforeCommit = undefined;
      throw new Error("the process ends here");
    };
    await expect(newBroker().log.seal(io, queue)).rejects.toThrow("ends here");
    expect(writes).toBeGreaterThanOrEqual(4);
    expect(await segmentsOf(io, queue)).toEqual(["open 0"]);
    expect(await newBroker().log.range(io, queue)).toEqual({ min: 0, max: 3 });
  });

  it("by being replaced, where it got old without a row", async () => {
    const { io, clock, queue, newBroker } = await segmentedWorld();
    const broker = newBroker();
    const early = newBroker();
    for (let part = 0; part < 2; part++) {
      const [entry] = await entriesOf(io, queue);
      if (entry?.segment.state !== "empty") throw new Error("the segment is not empty");
      const empty = { ...entry, segment: entry.segment };
      await broker.log.changes.open(io, queue, empty, limits.retentionMsDefault);
      await early.log.range(io, queue);
      clock.pass(hour);
      await newBroker().sweep(io);
      expect(await segmentsOf(io, queue)).toEqual([`empty 0.${part + 1}`]);
      expect(await early.log.read(io, queue, 0, atOnce)).toMatchObject({ rows: [], maxOffset: 0 });
    }
    await appendRows(io, early.log, queue, 6);
    expect(await segmentsOf(io, queue)).toEqual(["sealed 0.2", "open 4"]);
    expect(await readOn(io, newBroker().log, queue, 0)).toHaveLength(6);
  });
});

describe("brokers that do not know each other", () => {
  it("move on at a seal, whoever sealed, in whatever turn they append and read", async () => {
    const { io, clock, queue, newBroker } = await segmentedWorld();
    const brokers = [newBroker(), newBroker(), newBroker()];
    const sent: string[] = [];
    for (let turn = 0; turn < 60; turn++) {
      const writer = brokers[(turn * turn) % 3] ?? newBroker();
      const reader = brokers[(turn + 1) % 3] ?? newBroker();
      const batch = newBatch([{}, {}]);
      expect(await writer.log.append(io, queue, batch)).toMatchObject({ base: 2 * turn });
      sent.push(hex(batch.id));
      if (turn % 7 === 3) await reader.log.seal(io, queue);
      if (turn % 11 === 5) await reader.sweep(io);
      clock.pass(turn % 5 === 0 ? 300 : 10);
      const from = Math.max(0, 2 * turn - 9);
      const read = await readOn(io, reader.log, queue, from);
      const ids = read.map(({ batch: { id } }) => hex(id));
      expect(ids).toEqual(sent.slice(Math.floor(from / 2)));
    }
    expect((await segmentsOf(io, queue)).length).toBeGreaterThan(15);
  });

  it("append at the same time across seals: each batch once, none lost, offsets dense", async () => {
    const { io, queue, newBroker } = await segmentedWorld();
    const answers = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const { log } = newBroker();
        const own: { id: string; base: number }[] = [];
        for (let index = 0; index < 12; index++) {
          const batch = newBatch([{}], io.clock.now());
          own.push({ id: hex(batch.id), base: (await log.append(io, queue, batch)).base });
        }
        return own;
      }),
    );
    const stored = (await everythingIn(io, queue)).map(({ base, batch }) => ({
      id: hex(batch.id),
      base,
    }));
    expect(stored).toHaveLength(48);
    expect(stored).toEqual(answers.flat().sort((a, b) => a.base - b.base));
  });

  it("put nothing behind a seal that came in between", async () => {
    const { io, store, queue, newBroker } = await segmentedWorld();
    const { log } = newBroker();
    await appendRows(io, log, queue, 2);
    store.beforeCommit = async () => {
      store.beforeCommit = undefined;
      await newBroker().log.seal(io, queue);
    };
    expect(await log.append(io, queue, newBatch())).toMatchObject({ base: 2 });
    expect(await segmentsOf(io, queue)).toEqual(["sealed 0", "open 2"]);
    expect(await readOn(io, newBroker().log, queue, 0)).toHaveLength(3);
  });

  it("learn at the tail that a segment was sealed and the next one has messages", async () => {
    const { io, queue, newBroker } = await segmentedWorld();
    const writer = newBroker();
    const reader = newBroker();
    await appendRows(io, writer.log, queue, 3);
    expect(await readOn(io, reader.log, queue, 0)).toHaveLength(3);
    await writer.log.seal(io, queue);
    expect(await reader.log.read(io, queue, 3, atOnce)).toMatchObject({ rows: [], maxOffset: 3 });
    await appendRows(io, writer.log, queue, 1);
    const waiting = await reader.log.read(io, queue, 3, { ...atOnce, waitMs: 1_000 });
    expect(waiting).toMatchObject({ rows: [{ base: 3 }], maxOffset: 4 });
  });
});

describe("reading across segments", () => {
  it("is the same from every offset, whatever state they are in and whatever a reader remembers", async () => {
    const { io, clock, queue, newBroker } = await segmentedWorld();
    const writer = newBroker();
    const sent = await appendRows(io, writer.log, queue, 30, [{}, {}, {}]);
    const readers = {
      "from before": newBroker(),
      "from before the archive": newBroker(),
      "from before the rows went": newBroker(),
    };
    const expectAll = async (reader: ReturnType<typeof newBroker>, what: string) => {
      for (let offset = 0; offset <= 90; offset++) {
        const read = await reader.log.read(io, queue, offset, atOnce);
        expect(read, `${what}, ${offset}`).toMatchObject({ minOffset: 0, maxOffset: 90 });
        if (offset === 90) expect(read.rows).toEqual([]);
        else expect(read.rows[0]?.base, what).toBe(offset - (offset % 3));
      }
      const read = await readOn(io, reader.log, queue, 1);
      expect(read.map(({ batch }) => hex(batch.bytes))).toEqual(
        sent.map(({ bytes }) => hex(bytes)),
      );
    };
    await expectAll(readers["from before"], "all in rows");
    expect((await segmentsOf(io, queue)).filter((each) => each.startsWith("sealed"))).toHaveLength(
      7,
    );
    await newBroker().sweep(io);
    const archived = (await segmentsOf(io, queue)).filter((each) => each.startsWith("archived"));
    expect(archived).toHaveLength(7);
    for (const [what, reader] of Object.entries(readers)) await expectAll(reader, what);
    await expectAll(newBroker(), "fresh");
    clock.pass(hour - limits.directoryAgeMsMax + 1);
    await expectAll(readers["from before the rows went"], "shortly before the rows went");
    clock.pass(limits.directoryAgeMsMax - 1);
    await newBroker().sweep(io);
    for (const [what, reader] of Object.entries(readers)) await expectAll(reader, what);
    await expectAll(newBroker(), "fresh, without rows");
  });

  it("takes at most two reads of the ports from any offset", async () => {
    const { io, store, blobs, queue, newBroker } = await segmentedWorld();
    const writer = newBroker();
    await appendRows(io, writer.log, queue, 24, [{}, {}, {}]);
    await newBroker().sweep(io);
    await appendRows(io, writer.log, queue, 6, [{}, {}, {}]);
    expect(await segmentsOf(io, queue)).toEqual([
      ...[0, 12, 24, 36, 48].map((base) => `archived ${base}`),
      "sealed 60",
      "sealed 72",
      "open 84",
    ]);
    for (let offset = 0; offset <= 90; offset++) {
      const reader = newBroker();
      await reader.log.read(io, queue, 90, atOnce);
      await reader.log.range(io, queue);
      for (const what of ["first", "again"]) {
        [store.reads, blobs.reads] = [0, 0];
        await reader.log.read(io, queue, offset, atOnce);
        expect(store.reads + blobs.reads, `from ${offset}, ${what}`).toBeLessThanOrEqual(2);
        expect(blobs.reads, `from ${offset}`).toBe(offset < 60 ? 1 : 0);
      }
    }
  });

  it("does not need the archiver: without it everything stays in rows", async () => {
    const { io, clock, queue, newBroker } = await segmentedWorld();
    const { log } = newBroker();
    for (let day = 0; day < 3; day++) {
      await appendRows(io, log, queue, 5);
      clock.pass(24 * hour - minute);
    }
    expect(await log.range(io, queue)).toEqual({ min: 0, max: 15 });
    expect(await readOn(io, newBroker().log, queue, 0)).toHaveLength(15);
    expect(await blobsOf(io, queue)).toEqual([]);
  });
});

describe("an archived segment", () => {
  it("keeps its rows in the store for an hour, and no longer", async () => {
    const { io, clock, queue, newBroker } = await segmentedWorld();
    await appendRows(io, newBroker().log, queue, 5);
    await newBroker().sweep(io);
    const rows = () => readLastRow(io, partitions.batches(queue, { base: 0, part: 0 }));
    for (const passing of [0, hour - 1]) {
      clock.pass(passing);
      await newBroker().sweep(io);
      expect(await rows()).toBeDefined();
    }
    clock.pass(1);
    await newBroker().sweep(io);
    expect(await rows()).toBeUndefined();
    expect(await readOn(io, newBroker().log, queue, 0)).toHaveLength(5);
  });

  it("is no longer wanted where it was trimmed while it was read: nothing is damaged then", async () => {
    const { io, clock, store, queue, newBroker, topic } = await segmentedWorld({
      retentionMs: hour,
    });
    const { log } = newBroker();
    for (let row = 0; row < 4; row++) await log.append(io, queue, newBatch(), topic);
    clock.pass(30 * minute);
    await log.seal(io, queue);
    let reads = 0;
    store.beforeRead = async () => {
      // The work, the entry, then the rows.
      if (++reads !== 3) return;
      store.beforeRead = undefined;
      clock.pass(2 * hour);
      await log.changes.trim(io, queue, 0);
      for (let sweep = 0; sweep < 2; sweep++) await newBroker().sweep(io);
    };
    await newBroker().sweep(io);
    expect(await segmentsOf(io, queue)).toEqual(["empty 4"]);
    expect(await blobsOf(io, queue)).toEqual([]);
  });

  it("was worth a blob: a small one stays in rows", async () => {
    const settings = { ...smallSegments, archiveBytesMin: 1_000 };
    const { io, clock, queue, newBroker } = await segmentedWorld({ settings });
    const { log } = newBroker();
    await appendRows(io, log, queue, 4);
    await appendRows(io, log, queue, 4, [{ body: new Uint8Array(500) }]);
    await log.seal(io, queue);
    await newBroker().sweep(io);
    clock.pass(2 * hour);
    await newBroker().sweep(io);
    expect(await segmentsOf(io, queue)).toEqual(["sealed 0", "archived 4", "empty 8"]);
    expect(await readOn(io, newBroker().log, queue, 0)).toHaveLength(8);
  });
});

describe("trimming", () => {
  const retentionMs = 3 * hour;

  it("takes a segment away when its retention is over, its blob, and the blob again a day later", async () => {
    const { io, clock, blobs, queue, newBroker, topic } = await segmentedWorld({ retentionMs });
    const { log } = newBroker();
    for (let row = 0; row < 10; row++) await log.append(io, queue, newBatch(), topic);
    await newBroker().sweep(io);
    const archived = await blobsOf(io, queue);
    expect(archived).toHaveLength(2);
    clock.pass(retentionMs - 1);
    await newBroker().sweep(io);
    expect((await newBroker().log.range(io, queue)).min).toBe(0);
    clock.pass(1);
    await newBroker().sweep(io);
    expect(await segmentsOf(io, queue)).toEqual(["archived 8", "empty 10"]);
    const left = await blobsOf(io, queue);
    expect(left).toHaveLength(1);
    expect(archived).not.toContain(left[0]);
    // As an archiver that was held up would.
    for (const key of archived) await blobs.put(key, Uint8Array.of(1));
    clock.pass(24 * hour);
    await newBroker().sweep(io);
    expect(await segmentsOf(io, queue)).toEqual(["empty 10"]);
    expect(await blobsOf(io, queue)).toEqual([]);
  });

  it("is told with both ends to whoever asks for what is gone, also by those who remember it", async () => {
    const { io, clock, queue, newBroker, topic } = await segmentedWorld({ retentionMs });
    const { log } = newBroker();
    for (let row = 0; row < 8; row++) await log.append(io, queue, newBatch(), topic);
    clock.pass(hour);
    for (let row = 0; row < 3; row++) await log.append(io, queue, newBatch(), topic);
    await newBroker().sweep(io);
    const remembering = newBroker({ cacheBytesMax: 1_000_000 });
    expect(await readOn(io, remembering.log, queue, 0)).toHaveLength(11);
    clock.pass(2 * hour);
    await newBroker().sweep(io);
    clock.pass(limits.directoryAgeMsMax);
    for (const broker of [remembering, newBroker()]) {
      for (const offset of [0, 3, 7, 12]) {
        const refusal = await refusalOf(broker.log.read(io, queue, offset, atOnce));
        expect(refusal).toMatchObject({ code: "out_of_range", min: 8, max: 11, given: offset });
      }
      expect(await broker.log.range(io, queue)).toEqual({ min: 8, max: 11 });
      expect(await readOn(io, broker.log, queue, 8)).toHaveLength(3);
    }
  });

  it("leads those who remember what is gone to what is left, never into a gap", async () => {
    const { io, clock, queue, newBroker, topic } = await segmentedWorld({ retentionMs });
    const { log } = newBroker();
    for (let row = 0; row < 8; row++) await log.append(io, queue, newBatch(), topic);
    await log.seal(io, queue);
    await newBroker().sweep(io);
    clock.pass(retentionMs - 1);
    const remembering = newBroker();
    expect(await readOn(io, remembering.log, queue, 0)).toHaveLength(8);
    clock.pass(1);
    await newBroker().sweep(io);
    await newBroker().sweep(io);
    for (const offset of [0, 2, 4]) {
      const refusal = await refusalOf(remembering.log.read(io, queue, offset, atOnce));
      expect(refusal).toMatchObject({ code: "out_of_range", min: 8, max: 8 });
    }
  });

  it("follows a retention that was shortened: what is older than it goes, also what was to stay longer", async () => {
    const { io, clock, queue, newBroker } = await segmentedWorld();
    const { log } = newBroker();
    await appendRows(io, log, queue, 5);
    await log.seal(io, queue);
    for (let row = 0; row < 4; row++)
      await log.append(io, queue, newBatch(), { retentionMs: 2 * hour });
    await log.seal(io, queue);
    await newBroker().sweep(io);
    expect((await segmentsOf(io, queue)).map((each) => each.split(" ")[0])).toEqual([
      ...Array.from({ length: 3 }, () => "archived"),
      "empty",
    ]);
    clock.pass(2 * hour - 1);
    await newBroker().sweep(io);
    expect(await newBroker().log.range(io, queue)).toEqual({ min: 0, max: 9 });
    clock.pass(1);
    await newBroker().sweep(io);
    expect(await newBroker().log.range(io, queue)).toEqual({ min: 9, max: 9 });
    expect(await segmentsOf(io, queue)).toEqual(["empty 9"]);
    expect(await blobsOf(io, queue)).toEqual([]);
  });
});

describe("a queue whose brokers were away until its rows had expired", () => {
  const beyond = 2 * hour + limits.rowGraceMs;
  const retentionMs = hour;

  it.each([
    ["lie about", false],
    ["were removed", true],
  ])("goes on further up, and gives no offset out twice, when the rows %s", async (_, removed) => {
    for (const who of ["writer", "reader", "range", "seek", "sweep"]) {
      const { io, clock, plain, queue, newBroker, topic } = await segmentedWorld({ retentionMs });
      const remembering = newBroker();
      for (let row = 0; row < 6; row++) await remembering.log.append(io, queue, newBatch(), topic);
      expect(await segmentsOf(io, queue)).toEqual(["sealed 0", "open 4"]);
      clock.pass(beyond);
      if (removed) plain.removeExpired();
      const broker = newBroker();
      const max = 4 + limits.lostJump;
      if (who === "writer")
        expect(await remembering.log.append(io, queue, newBatch(), topic)).toMatchObject({
          base: max,
        });
      // Who reads writes nothing, and waits for a sweep.
      const reads = {
        reader: () => broker.log.read(io, queue, 5, atOnce),
        range: () => broker.log.range(io, queue),
        seek: () => broker.log.offsetAt(io, queue, 0),
      };
      if (who in reads) {
        const read = reads[who as keyof typeof reads];
        await expect(read(), who).rejects.toThrow(Unavailable);
        await newBroker().sweep(io);
        if (who === "reader")
          expect(await refusalOf(read())).toMatchObject({ code: "out_of_range", min: max, max });
        else expect(await read()).toEqual(who === "range" ? { min: max, max } : max);
      }
      if (who === "sweep") await broker.sweep(io);
      const { base } = await remembering.log.append(io, queue, newBatch(), topic);
      expect(base, who).toBe(who === "writer" ? max + 1 : max);
      expect(await newBroker().log.range(io, queue), who).toEqual({ min: max, max: base + 1 });
      expect(await readOn(io, remembering.log, queue, max)).toHaveLength(base + 1 - max);
    }
  });
});

describe("a queue that lost its open segment", () => {
  it("has no hole, also where a segment below was archived while it was about to be trimmed", async () => {
    const { io, clock, store, queue, newBroker, topic } = await segmentedWorld({
      retentionMs: hour,
    });
    for (let row = 0; row < 6; row++) await newBroker().log.append(io, queue, newBatch(), topic);
    const [sealed] = await entriesOf(io, queue);
    if (sealed === undefined || !isIn(sealed, "sealed")) throw new Error("nothing is sealed");
    clock.pass(2 * hour + limits.rowGraceMs);
    const broker = newBroker();
    store.beforeCommit = async () => {
      store.beforeCommit = undefined;
      const writes = broker.log.changes.archived(io, queue, sealed, []);
      await io.store.commit(writes, clock.now());
    };
    const max = 4 + limits.lostJump;
    expect(await broker.log.append(io, queue, newBatch(), topic)).toMatchObject({ base: max });
    expect(await segmentsOf(io, queue)).toEqual([`open ${max}`]);
  });
});

describe("a batch that asks to land once", () => {
  it("is found across seals, by the broker that appended it and by others", async () => {
    const { io, clock, queue, newBroker } = await segmentedWorld();
    const first = newBroker();
    const batch = newBatch([{}, {}], clock.now());
    const landed = await first.log.append(io, queue, batch);
    const knowing = newBroker();
    await knowing.log.append(io, queue, newBatch());
    for (let round = 0; round < 4; round++) {
      await first.log.seal(io, queue);
      for (const { log } of [newBroker(), first, knowing])
        expect(await log.append(io, queue, batch)).toEqual(landed);
      await appendRows(io, round % 2 === 0 ? first.log : newBroker().log, queue, 6);
      clock.pass(minute);
    }
    const again = (await everythingIn(io, queue)).filter(
      (placed) => hex(placed.batch.id) === hex(batch.id),
    );
    expect(again).toHaveLength(1);
  });

  it("is found when its segment was archived, for as long as it may be tried again", async () => {
    const { io, clock, queue, newBroker } = await segmentedWorld();
    const first = newBroker();
    const batch = newBatch([{}], clock.now());
    const landed = await first.log.append(io, queue, batch);
    for (let round = 0; round < 10; round++) {
      await appendRows(io, newBroker().log, queue, 5);
      await newBroker().sweep(io);
      expect(await newBroker().log.append(io, queue, batch)).toEqual(landed);
      expect(await first.log.append(io, queue, batch)).toEqual(landed);
      clock.pass(minute);
    }
    expect((await segmentsOf(io, queue))[0]).toBe("archived 0");
  });

  it("is found behind a segment that was sealed while its first attempt was on its way", async () => {
    const { io, store, clock, queue, newBroker } = await segmentedWorld();
    const first = newBroker();
    await appendRows(io, first.log, queue, 2);
    const batch = newBatch([{}], clock.now());
    let retried: unknown;
    store.beforeCommit = async () => {
      store.beforeCommit = undefined;
      await newBroker().log.seal(io, queue);
      retried = await newBroker().log.append(io, queue, batch);
    };
    expect(await first.log.append(io, queue, batch)).toEqual(retried);
    expect(await everythingIn(io, queue)).toHaveLength(3);
  });
});
