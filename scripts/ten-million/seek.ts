import { oneConnection } from "../audit/http.ts";
import type { BatchBook } from "./batch-book.ts";
import { batchesOf, pull } from "./replay.ts";

export interface SeekOptions {
  readonly queues: number;
  readonly pulls: number;
  readonly random: () => number;
}

export interface Sought {
  /** How many pulls took so many calls of the ports. */
  readonly pullsByCalls: ReadonlyMap<number, number>;
  readonly pulls: number;
  readonly seconds: number;
  /** Of one pull. */
  readonly blobReadsMost: number;
}

/**
 * Pulls a little from offsets that have nothing to do with each other, and from both ends of each queue. What a broker
 * remembers of a queue as a whole is read by a first pull of each, which is not counted.
 */
export async function seek(url: string, book: BatchBook, options: SeekOptions): Promise<Sought> {
  const { queues, pulls, random } = options;
  const ends = Array.from({ length: queues }, (_, queue) => book.endOf(queue));
  const places = ends.flatMap((end, queue) =>
    [0, end - 1].map((offset) => ({ queue, offset: Math.max(0, offset) })),
  );
  while (places.length < pulls) {
    const queue = Math.floor(random() * queues);
    places.push({ queue, offset: Math.floor(random() * (ends[queue] ?? 0)) });
  }
  const agent = oneConnection();
  for (const queue of ends.keys()) await pull(agent, url, pathOf(book, { queue, offset: 0 }));
  const startedAt = performance.now();
  const pullsByCalls = new Map<number, number>();
  let blobReadsMost = 0;
  for (const place of places) {
    const { headers, body } = await pull(agent, url, pathOf(book, place));
    expectFound(book, place, body);
    const units = String(headers["x-tasso-units"]);
    const calls = unitIn(units, "calls");
    pullsByCalls.set(calls, (pullsByCalls.get(calls) ?? 0) + 1);
    blobReadsMost = Math.max(blobReadsMost, unitIn(units, "get"));
  }
  agent.destroy();
  const seconds = (performance.now() - startedAt) / 1_000;
  return { pullsByCalls, pulls: places.length, seconds, blobReadsMost };
}

interface Place {
  readonly queue: number;
  readonly offset: number;
}

function pathOf({ topic }: BatchBook, { queue, offset }: Place): string {
  return `/v1/topics/${topic}/queues/${queue}/messages?offset=${offset}&max=32`;
}

function expectFound(book: BatchBook, { queue, offset }: Place, body: Uint8Array): void {
  for (const batch of batchesOf(body)) {
    const count = book.check(batch.bytes, queue, batch.offset);
    if (batch.offset <= offset && offset < batch.offset + count) return;
    break;
  }
  book.violations.push(`${book.topic} ${queue}@${offset}: not in the first batch of its pull`);
}

function unitIn(units: string, name: string): number {
  const number = new RegExp(`\\b${name}=(\\d+)\\b`).exec(units)?.[1];
  if (number === undefined) throw new Error(`"${units}" does not tell ${name}`);
  return Number(number);
}
