import { describe, expect, it } from "vitest";
import { crc32c } from "../../../src/broker/crc32c.ts";
import {
  archiveBlockBytes,
  archivedRows,
  encodeArchive,
  readArchive,
} from "../../../src/broker/log/archive.ts";
import { type BatchRow, encodeBatchRow, readBatchRow } from "../../../src/broker/log/batch-row.ts";
import { Damaged } from "../../../src/broker/ports/failures.ts";
import type { Ports } from "../../../src/broker/ports/ports.ts";
import { archiveKey, offsetKey, partitions, type QueueId } from "../../../src/broker/schema.ts";
import { readWork } from "../../../src/broker/work/work.ts";
import {
  appendRows,
  entriesOf,
  newBatch,
  readOn,
  segmentedWorld,
  segmentsOf,
} from "../../support/segmented-world.ts";

const hour = 60 * 60_000;
const headBytes = 32;
const atOnce = { messagesMax: 10, bytesMax: 100_000, waitMs: 0 };

describe("the blob of an archived segment", () => {
  it("gives back its rows as they lay in the store, from any place where a block begins", () => {
    const rows = rowsOf(40, 20_000);
    const bytes = encodeArchive({ base: 100, end: 140 }, rows);
    const { base, end, blocks } = readArchive(bytes);
    expect([base, end]).toEqual([100, 140]);
    expect(blocks.length).toBeGreaterThan(4);
    for (const [index, [offset, storedAt, place]] of blocks.entries()) {
      const read = [...archivedRows(bytes.subarray(place))];
      expect(read.map(comparable)).toEqual(rows.slice(offset).map(({ row }) => comparable(row)));
      expect(read[0]).toMatchObject({ base: 100 + offset, storedAt });
      const next = blocks[index + 1]?.[2];
      if (next !== undefined) expect(next - place).toBeGreaterThanOrEqual(archiveBlockBytes);
    }
  });

  it("is described by its beginning, and holds the rows that a piece has whole", () => {
    const rows = rowsOf(3, 1_000);
    const bytes = encodeArchive({ base: 100, end: 103 }, rows);
    expect(readArchive(bytes.subarray(0, 200))).toEqual(readArchive(bytes));
    const start = readArchive(bytes).blocks[0]?.[2] ?? 0;
    const cut = bytes.subarray(start, bytes.length - 1);
    const read = [...archivedRows(cut)];
    expect(read.map(comparable)).toEqual(rows.slice(0, 2).map(({ row }) => comparable(row)));
    expect([...archivedRows(cut.subarray(0, 5))]).toEqual([]);
  });

  it("is known to be damaged wherever a bit of its description is flipped, or it is cut", () => {
    const bytes = encodeArchive({ base: 0, end: 3 }, rowsOf(3, 100, 0));
    const start = readArchive(bytes).blocks[0]?.[2] ?? 0;
    for (let at = 0; at < start; at++) {
      for (const bit of [1, 128]) {
        const flipped = Uint8Array.from(bytes, (byte, place) => (place === at ? byte ^ bit : byte));
        expect(() => readArchive(flipped), `byte ${at}`).toThrow(Damaged);
      }
      expect(() => readArchive(bytes.subarray(0, at)), `cut at ${at}`).toThrow(Damaged);
    }
  });
});

describe("an archiver", () => {
  it("describes the blob that is there already, whatever blocks somebody else cut it into", async () => {
    const { io, clock, blobs, queue, newBroker } = await segmentedWorld();
    await appendRows(io, newBroker().log, queue, 5, [{}, {}]);
    blobs.beforePut = async (key) => {
      blobs.beforePut = undefined;
      await blobs.put(key, await inBlocksOfOneRow(io, queue));
    };
    await newBroker().sweep(io);
    const [entry] = await entriesOf(io, queue);
    expect(entry?.segment).toMatchObject({ state: "archived", blocks: { length: 4 } });
    for (const passing of [0, hour]) {
      clock.pass(passing);
      await newBroker().sweep(io);
      for (let offset = 0; offset < 10; offset++)
        expect(await readOn(io, newBroker().log, queue, offset)).toHaveLength(
          5 - Math.floor(offset / 2),
        );
      expect(await newBroker().log.offsetAt(io, queue, clock.now() + 1)).toBe(10);
    }
  });

  it("that was overtaken changes nothing: two at once leave one archive", async () => {
    const { io, queue, newBroker } = await segmentedWorld();
    await appendRows(io, newBroker().log, queue, 9);
    await Promise.all([newBroker().sweep(io), newBroker().sweep(io), newBroker().sweep(io)]);
    expect(await segmentsOf(io, queue)).toEqual(["archived 0", "archived 4", "open 8"]);
    expect(await readOn(io, newBroker().log, queue, 0)).toHaveLength(9);
  });

  it("that died behind the blob is followed by one that ends its work", async () => {
    const { io, store, queue, newBroker } = await segmentedWorld();
    await appendRows(io, newBroker().log, queue, 5);
    store.beforeCommit = () => Promise.reject(new Error("the process ends here"));
    await expect(newBroker().sweep(io)).rejects.toThrow("ends here");
    store.beforeCommit = undefined;
    expect(await segmentsOf(io, queue)).toEqual(["sealed 0", "open 4"]);
    await newBroker().sweep(io);
    expect(await segmentsOf(io, queue)).toEqual(["archived 0", "open 4"]);
  });

  it("puts off a segment whose blob or rows are damaged, says so, and goes on with the others", async () => {
    for (const damage of ["blob", "row"]) {
      const { io, clock, blobs, queue, newBroker } = await segmentedWorld();
      await appendRows(io, newBroker().log, queue, 9);
      if (damage === "blob") await blobs.put(archiveKey(queue, firstSegment), Uint8Array.of(1, 2));
      else await dropRow(io, queue, 2);
      await expect(newBroker().sweep(io)).rejects.toBeInstanceOf(Damaged);
      expect(await segmentsOf(io, queue)).toEqual(["sealed 0", "archived 4", "open 8"]);
      await newBroker().sweep(io);
      expect((await workLeft(io)).filter(({ work }) => work.kind === "archive")).toEqual([
        { dueAt: clock.now() + 10 * 60_000, work: expect.objectContaining({ base: 0 }) },
      ]);
      const { log } = newBroker();
      expect(await readOn(io, log, queue, 4)).toHaveLength(5);
      if (damage === "blob") expect(await readOn(io, log, queue, 0)).toHaveLength(9);
      else await expect(readOn(io, log, queue, 0)).rejects.toBeInstanceOf(Damaged);
    }
  });

  it("never lets anybody pass over what is damaged in a blob", async () => {
    const { io, clock, queue, newBroker } = await segmentedWorld();
    await appendRows(io, newBroker().log, queue, 9);
    await newBroker().sweep(io);
    clock.pass(hour);
    await newBroker().sweep(io);
    const key = archiveKey(queue, firstSegment);
    const bytes = await io.blobs.get(key);
    const start = readArchive(bytes ?? new Uint8Array(0)).blocks[0]?.[2] ?? 0;
    const damaged = Uint8Array.from(bytes ?? [], (byte, at) =>
      at === start + 14 ? byte ^ 1 : byte,
    );
    for (const wrong of [damaged, bytes?.subarray(0, start + 5) ?? damaged]) {
      await io.blobs.delete(key);
      await io.blobs.put(key, wrong);
      const reading = newBroker().log.read(io, queue, 1, atOnce);
      await expect(reading).rejects.toBeInstanceOf(Damaged);
      expect(await readOn(io, newBroker().log, queue, 4)).toHaveLength(5);
    }
    await io.blobs.delete(key);
    const reading = newBroker().log.read(io, queue, 1, atOnce);
    await expect(reading).rejects.toBeInstanceOf(Damaged);
  });
});

describe("a row in a blob", () => {
  it("is not told under another offset where a bit of its place is flipped", async () => {
    const { io, queue, newBroker } = await segmentedWorld();
    const { log } = newBroker();
    await appendRows(io, log, queue, 1, [{}, {}, {}]);
    await log.seal(io, queue);
    await newBroker().sweep(io);
    const key = archiveKey(queue, firstSegment);
    const bytes = (await io.blobs.get(key)) ?? new Uint8Array(0);
    const lastOfOffset = (readArchive(bytes).blocks[0]?.[2] ?? 0) + 7;
    await io.blobs.delete(key);
    await io.blobs.put(
      key,
      bytes.map((byte, at) => (at === lastOfOffset ? byte ^ 1 : byte)),
    );
    const reading = newBroker().log.read(io, queue, 1, atOnce);
    await expect(reading).rejects.toBeInstanceOf(Damaged);
  });
});

/** In a shape in which two can be compared fast. */
function comparable({ batches, ...head }: BatchRow): object {
  return { ...head, checksum: crc32c(batches) };
}

const firstSegment = { base: 0, part: 0 };

/** Rows of one message each, in the order of their offsets. */
function rowsOf(count: number, bodyBytes: number, base = 100) {
  const segmentBytes = 0;
  return Array.from({ length: count }, (_, index) => {
    const batch = newBatch([{ body: new Uint8Array(bodyBytes).fill(index) }]);
    const value = Buffer.concat(
      encodeBatchRow({ storedAt: 1_000 + index, index, segmentBytes }, [batch]),
    );
    const key = { partition: new Uint8Array(0), sort: offsetKey(base + index) };
    return { row: readBatchRow({ key, value }), value };
  });
}

/** The blob of the first segment by the book, with a block for every row, as another version of the broker might put it. */
async function inBlocksOfOneRow(io: Ports, queue: QueueId): Promise<Uint8Array> {
  const partition = partitions.batches(queue, firstSegment);
  const { items } = await io.store.scan({ partition, limit: 100 });
  const rows = items
    .map(({ key, value }) => ({ row: readBatchRow({ key, value }), value }))
    .filter(({ row }) => row.count > 0);
  const head = Buffer.alloc(headBytes + 14 * rows.length);
  let end = 0;
  const parts = rows.map(({ row, value }, index) => {
    const rowHead = Buffer.alloc(12);
    rowHead.writeBigUInt64BE(BigInt(row.base));
    rowHead.writeUInt32BE(value.length, 8);
    const at = headBytes + 14 * index;
    head.writeUInt32BE(row.base, at);
    head.writeUIntBE(row.storedAt, at + 4, 6);
    head.writeUInt32BE(head.length + end, at + 10);
    end += 12 + value.length;
    return Buffer.concat([rowHead, value]);
  });
  const last = rows.at(-1)?.row;
  head.write("TSEG");
  head.writeUInt32BE(1, 4);
  head.writeBigUInt64BE(BigInt((last?.base ?? 0) + (last?.count ?? 0)), 16);
  head.writeUInt32BE(rows.length, 24);
  head.writeUInt32BE(crc32c(head, headBytes), 28);
  head.writeUInt32BE(crc32c(head, 0, headBytes), 28);
  return Buffer.concat([head, ...parts]);
}

async function dropRow(io: Ports, queue: QueueId, offset: number): Promise<void> {
  const key = { partition: partitions.batches(queue, firstSegment), sort: offsetKey(offset) };
  await io.store.commit([{ kind: "delete", key }], io.clock.now());
}

async function workLeft(io: Ports) {
  const { items } = await io.store.scan({ partition: partitions.work, limit: 100 });
  return items.map(readWork);
}
