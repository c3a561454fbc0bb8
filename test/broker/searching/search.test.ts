import { describe, expect, it } from "vitest";
import { limits } from "../../../src/broker/limits.ts";
import { derivedMessageId, readBatch } from "../../../src/broker/log/batch.ts";
import { Damaged } from "../../../src/broker/ports/failures.ts";
import type { Ports } from "../../../src/broker/ports/ports.ts";
import { offsetKey, partitions, type QueueId } from "../../../src/broker/schema.ts";
import {
  type SearchPage,
  type SearchRequest,
  search,
} from "../../../src/broker/searching/search.ts";
import { batchOf, compressed } from "../../support/batches.ts";
import { refusalOf } from "../../support/code-of.ts";
import { newBatch, segmentedWorld, smallSegments } from "../../support/segmented-world.ts";

const hour = 60 * 60_000;
const everything = { topic: "orders", limit: limits.searchMessagesMax };
const text = (value: string) => new TextEncoder().encode(value);

describe("a search", () => {
  it("finds each message once, in every queue and in every kind of segment, page by page", async () => {
    const { world, expected } = await filledTopic();
    for (const limit of [1, 3, 100]) {
      const pages = await allPages(world, { ...everything, key: "k", limit });
      for (const { found } of pages) expect(found.length).toBeLessThanOrEqual(limit);
      expect(placesOf(pages)).toEqual(expected);
      expect(pages.at(-1)).toMatchObject({ scannedTo: { queue: 2 }, nextCursor: undefined });
    }
    expect(placesOf(await allPages(world, { ...everything, key: "none" }))).toEqual([]);
  });

  it("is of a time, from its first ms up to before its last", async () => {
    const { world, stored } = await filledTopic();
    const times = [...new Set(stored.map(({ at }) => at))].sort();
    const [from = 0, to = 0] = [times[2], times.at(-2)];
    const ranges: { from?: number; to?: number }[] = [
      { from },
      { to },
      { from, to },
      { from: from + 1 },
    ];
    for (const range of ranges) {
      const { from: first = 0, to: last = Number.POSITIVE_INFINITY } = range;
      const wanted = stored.filter(({ at, hasKey }) => hasKey && at >= first && at < last);
      const pages = await allPages(world, { ...everything, key: "k", limit: 2, ...range });
      expect(placesOf(pages)).toEqual(wanted.map(({ place }) => place));
    }
  });

  it("reads a bounded part for each page, however much there is", async () => {
    const world = await topicOf(64, { ...smallSegments, segmentRowsMax: 1_000 });
    const { io, store, blobs, newBroker, id } = world;
    const { log } = newBroker();
    const body = new Uint8Array(300_000);
    for (let row = 0; row < 40; row++) await log.append(io, id(7), newBatch([{ body }]));
    await log.append(io, id(63), newBatch([{ keys: ["k"] }]));
    const broker = newBroker();
    let cursor: string | undefined;
    const found = [];
    for (let page = 1; ; page++) {
      [store.reads, blobs.reads] = [0, 0];
      const told = await search(io, broker, { ...everything, key: "k", cursor });
      const readsOfOnePart = 6;
      expect(store.reads + blobs.reads).toBeLessThan(limits.searchReadsMax + readsOfOnePart);
      found.push(...told.found);
      cursor = told.nextCursor;
      if (cursor === undefined) {
        expect(page).toBeGreaterThanOrEqual((40 * body.length) / limits.searchBytesMax);
        expect(page).toBeLessThan(10);
        break;
      }
    }
    expect(found).toMatchObject([{ queue: 63, offset: 0 }]);
  });

  it("counts what a batch is unpacked to, and ends a page that holds enough", async () => {
    const world = await topicOf(1);
    const { io, newBroker, id } = world;
    const { log } = newBroker();
    const body = new Uint8Array(1_000_000);
    for (let row = 0; row < 12; row++) {
      const bytes = batchOf([{ body, keys: row === 11 ? ["k"] : ["z"] }], {
        id: new Uint8Array(16).fill(row),
      });
      await log.append(io, id(0), readBatch(compressed(bytes)));
    }
    const gunzips = countGunzips(io);
    const [first, ...others] = await allPages(
      { ...world, io: gunzips.io },
      { ...everything, key: "k" },
    );
    expect(first?.scannedTo).toEqual({ queue: 0, offset: Math.ceil(limits.searchBytesMax / 1e6) });
    expect(others).toHaveLength(2);
    expect(gunzips.count()).toBe(12);
    const pages = await allPages(world, { ...everything, key: "z" });
    for (const { found } of pages) expect(found.length).toBeLessThanOrEqual(2);
    expect(placesOf(pages)).toHaveLength(11);
  });

  it("goes on behind what was trimmed between two pages", async () => {
    const { world, expected } = await filledTopic(2 * hour);
    const { io, clock, newBroker, id } = world;
    const broker = newBroker();
    const first = await search(io, broker, { ...everything, key: "k", limit: 1 });
    clock.pass(2 * hour - 1);
    await broker.log.append(io, id(0), newBatch([{ keys: ["k"] }]), world.topic);
    clock.pass(1);
    for (let sweep = 0; sweep < 3; sweep++) await newBroker().sweep(io);
    const { min, max } = await newBroker().log.range(io, id(0));
    expect(min).toBeGreaterThan(first.scannedTo.offset);
    const cursor = first.nextCursor;
    for (const other of [broker, newBroker()]) {
      const pages = await allPages(
        { ...world, newBroker: () => other },
        { ...everything, key: "k", cursor },
      );
      const places = placesOf(pages);
      expect(places).toContainEqual([0, max - 1]);
      for (const [queue = 0, offset = 0] of expected) {
        const range = await newBroker().log.range(io, id(queue));
        const isLeft = offset >= range.min;
        expect(places.some(([q, o]) => q === queue && o === offset)).toBe(isLeft);
      }
    }
  });

  it("refuses a cursor of another search, or one that nobody gave", async () => {
    const { world } = await filledTopic();
    const { io, newBroker } = world;
    const request = { ...everything, key: "k", limit: 1 };
    const { nextCursor = "" } = await search(io, newBroker(), request);
    const made = (at: number) =>
      nextCursor.slice(0, at) + (nextCursor[at] === "0" ? "1" : "0") + nextCursor.slice(at + 1);
    const wrong = [
      ...Array.from(nextCursor, (_, at) => ({ cursor: made(at) })),
      { cursor: "" },
      { cursor: nextCursor.slice(2) },
      { cursor: nextCursor.toUpperCase().replace(/^0/, "g") },
      { cursor: nextCursor, key: "other" },
      { cursor: nextCursor, key: undefined, messageId: "k" },
      { cursor: nextCursor, to: 1 },
    ];
    for (const given of wrong) {
      const refusal = await refusalOf(search(io, newBroker(), { ...request, ...given }));
      expect(refusal).toMatchObject({ code: "invalid", field: "cursor", given: given.cursor });
    }
    const other = await search(io, newBroker(), { ...request, limit: 2, cursor: nextCursor });
    expect(other.found).toHaveLength(2);
  });
});

describe("a search by message id", () => {
  it("that the broker made looks in its queue only, and unpacks its batch only", async () => {
    const world = await topicOf(4);
    const { io, newBroker, id } = world;
    const { log } = newBroker();
    const batchIds = Array.from({ length: 8 }, (_, index) => new Uint8Array(16).fill(index + 1));
    for (const batchId of batchIds) {
      const bytes = batchOf([{ body: text("a") }, { body: text("b") }], { id: batchId });
      for (const queue of [0, 2, 3]) await log.append(io, id(queue), readBatch(compressed(bytes)));
    }
    const gunzips = countGunzips(io);
    for (const [place, batchId] of batchIds.entries()) {
      const messageId = derivedMessageId(batchId, 2, 1);
      const page = await search(gunzips.io, newBroker(), { ...everything, messageId });
      expect(page).toMatchObject({
        found: [{ queue: 2, offset: 2 * place + 1, messageId, message: { body: text("b") } }],
        scannedTo: { queue: 2, offset: 16 },
        nextCursor: undefined,
      });
      expect(gunzips.count()).toBe(place + 1);
    }
    const absent = [
      derivedMessageId(new Uint8Array(16), 2, 0),
      derivedMessageId(text("x".repeat(16)), 1, 0),
    ];
    for (const messageId of [...absent, derivedMessageId(batchIds[0] ?? text(""), 2, 2)])
      expect((await search(io, newBroker(), { ...everything, messageId })).found).toEqual([]);
  });

  it("that a producer brought looks everywhere, also where it looks like one of a queue that is not there", async () => {
    const world = await topicOf(3);
    const { io, newBroker, id } = world;
    const { log } = newBroker();
    const digits = `${"ab".repeat(16)}00030000`;
    for (const [queue, messageId] of [
      [0, "mine"],
      [1, digits],
      [2, "mine"],
    ] as const)
      await log.append(io, id(queue), newBatch([{}, { messageId }]));
    const placesFor = async (messageId: string) =>
      placesOf(await allPages(world, { ...everything, messageId }));
    expect(await placesFor("mine")).toEqual([
      [0, 1],
      [2, 1],
    ]);
    expect(await placesFor(digits)).toEqual([[1, 1]]);
    expect(await placesFor("min")).toEqual([]);
  });

  it("does not take a message for another that brought an id of its own", async () => {
    const world = await topicOf(1);
    const { io, newBroker, id } = world;
    const batch = newBatch([{ messageId: "mine" }, {}]);
    await newBroker().log.append(io, id(0), batch);
    const [first, second] = [0, 1].map((index) => derivedMessageId(batch.id, 0, index));
    const found = async (messageId: string | undefined) =>
      (await search(io, newBroker(), { ...everything, messageId })).found.map(
        (each) => each.offset,
      );
    expect(await found(first)).toEqual([]);
    expect(await found(second)).toEqual([1]);
  });
});

describe("a search that meets damage", () => {
  it("says which messages cannot be read, and finds the others", async () => {
    const world = await topicOf(2);
    const { io, newBroker, id } = world;
    const { log } = newBroker();
    for (let row = 0; row < 3; row++) await log.append(io, id(0), newBatch([{ keys: ["k"] }, {}]));
    await log.append(io, id(1), newBatch([{ keys: ["k"] }]));
    await changeRow(io, id(0), 2, (value) => value.with(-1, (value.at(-1) ?? 0) ^ 1));
    const page = await search(io, newBroker(), { ...everything, key: "k" });
    expect(page.found.map(({ queue, offset }) => [queue, offset])).toEqual([
      [0, 0],
      [0, 4],
      [1, 0],
    ]);
    expect(page.damaged).toEqual([{ queue: 0, from: 2, to: 4 }]);
  });

  it("tells what it found before a place where nothing can be read, and fails there", async () => {
    const world = await topicOf(2);
    const { io, newBroker, id } = world;
    await newBroker().log.append(io, id(0), newBatch([{ keys: ["k"] }]));
    await newBroker().log.append(io, id(1), newBatch());
    await changeRow(io, id(1), 0, (value) => value.with(3, (value[3] ?? 0) ^ 1));
    const request = { ...everything, key: "k" };
    const page = await search(io, newBroker(), request);
    expect(page.found).toMatchObject([{ queue: 0, offset: 0 }]);
    const { nextCursor: cursor } = page;
    expect(cursor).toBeDefined();
    const next = search(io, newBroker(), { ...request, cursor });
    await expect(next).rejects.toBeInstanceOf(Damaged);
  });
});

type World = Awaited<ReturnType<typeof topicOf>>;

/** A topic called orders with so many queues. */
async function topicOf(queues: number, settings = smallSegments, retentionMs = 24 * hour) {
  const world = await segmentedWorld({ settings, retentionMs });
  const topic = await world.newBroker().topics.change(world.io, "orders", { queues });
  return { ...world, topic, id: (queue: number): QueueId => ({ topicId: topic.id, queue }) };
}

/** Three queues with archived, sealed and open segments; every third message has the key k. */
async function filledTopic(retentionMs?: number) {
  const world = await topicOf(3, smallSegments, retentionMs);
  const { io, clock, newBroker, topic, id } = world;
  const { log } = newBroker();
  const stored: { place: [number, number]; hasKey: boolean; at: number }[] = [];
  for (let row = 0; row < 39; row++) {
    const queue = (row * row) % 3;
    const messages = [0, 1, 2, 3].map((index) => ({
      keys: (row + index) % 3 === 0 ? ["j", "k"] : ["j"],
    }));
    const { base } = await log.append(io, id(queue), newBatch(messages), topic);
    messages.forEach(({ keys }, index) => {
      stored.push({ place: [queue, base + index], hasKey: keys.length > 1, at: clock.now() });
    });
    if (row % 4 === 0) clock.pass(10);
    if (row === 25) await newBroker().sweep(io);
  }
  stored.sort((a, b) => a.place[0] - b.place[0] || a.place[1] - b.place[1]);
  const expected = stored.filter(({ hasKey }) => hasKey).map(({ place }) => place);
  return { world, stored, expected };
}

/** All pages of a search, each by a broker that knows nothing. */
async function allPages(
  { io, newBroker }: Pick<World, "newBroker"> & { readonly io: Ports },
  request: SearchRequest,
): Promise<SearchPage[]> {
  const pages: SearchPage[] = [];
  let { cursor } = request;
  do {
    const page = await search(io, newBroker(), { ...request, cursor });
    pages.push(page);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return pages;
}

function placesOf(pages: readonly SearchPage[]): [number, number][] {
  return pages.flatMap(({ found }) =>
    found.map(({ queue, offset }): [number, number] => [queue, offset]),
  );
}

function countGunzips(ports: Ports) {
  let count = 0;
  const io: Ports = {
    ...ports,
    compression: {
      gunzip: (bytes, bytesMax) => {
        count++;
        return ports.compression.gunzip(bytes, bytesMax);
      },
    },
  };
  return { io, count: () => count };
}

async function changeRow(
  io: Ports,
  queue: QueueId,
  offset: number,
  change: (value: Uint8Array) => Uint8Array,
): Promise<void> {
  const partition = partitions.batches(queue, { base: 0, part: 0 });
  const key = { partition, sort: offsetKey(offset) };
  const [item] = await io.store.get([key]);
  const value = change(Uint8Array.from(item?.value ?? []));
  await io.store.commit([{ kind: "put", key, value, version: "changed" }], io.clock.now());
}
