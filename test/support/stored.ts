import { NodeCompression } from "../../src/adapters/local/node-compression.ts";
import { decodeBatch, readBatch } from "../../src/broker/log/batch.ts";
import { batchesType, call, pulledBatches } from "./http-client.ts";

interface TopicRange {
  readonly topic: string;
  readonly queues: readonly {
    readonly queue: number;
    readonly min: number;
    readonly max: number;
  }[];
}

/** All topics of a server with both ends of their queues. */
export async function rangesOf(url: string): Promise<TopicRange[]> {
  const ranges: TopicRange[] = [];
  let cursor: string | undefined;
  do {
    const query: string = cursor === undefined ? "" : `?cursor=${cursor}`;
    const { json } = await call(url, "GET", `/v1/topics${query}`);
    for (const { topic } of json.topics) {
      ranges.push((await call(url, "GET", `/v1/topics/${topic}`)).json);
    }
    cursor = json.nextCursor;
  } while (cursor !== undefined);
  return ranges;
}

/**
 * Pulls everything that a server holds, as JSON and as batches, and decodes it. Answers how many messages that were;
 * throws where one is missing or cannot be read.
 */
export async function readEverything(url: string): Promise<number> {
  let total = 0;
  for (const { topic, queues } of await rangesOf(url)) {
    for (const { queue, max } of queues) {
      const path = `/v1/topics/${topic}/queues/${queue}/messages`;
      const [binary, json] = [await readBinary(url, path, max), await readJson(url, path, max)];
      if (binary !== max || json !== max)
        throw new Error(`${path}: ${max} messages, ${binary} as batches, ${json} as JSON`);
      total += max;
    }
  }
  return total;
}

async function readBinary(url: string, path: string, max: number): Promise<number> {
  let offset = 0;
  while (offset < max) {
    const headers = { accept: batchesType };
    const { status, bytes } = await call(url, "GET", `${path}?offset=${offset}&max=1024`, {
      headers,
    });
    if (status !== 200) throw new Error(`${path}?offset=${offset} answers ${status}`);
    for (const { base, bytes: encoded } of pulledBatches(bytes)) {
      if (base !== offset) throw new Error(`${path}: a gap at ${offset}`);
      offset += (await decodeBatch(readBatch(encoded), new NodeCompression())).length;
    }
  }
  return offset;
}

async function readJson(url: string, path: string, max: number): Promise<number> {
  let offset = 0;
  while (offset < max) {
    const { status, json } = await call(url, "GET", `${path}?offset=${offset}&max=1024`);
    if (status !== 200 || json.messages.length === 0)
      throw new Error(`${path}?offset=${offset} answers ${status}`);
    offset = json.nextOffset;
  }
  return offset;
}
