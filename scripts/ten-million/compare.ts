import { type Agent, get, type IncomingHttpHeaders } from "node:http";
import { relative } from "node:path";
import { batchesType } from "../../src/api/operation.ts";
import { filesBelow } from "../audit/files.ts";
import { oneConnection } from "../audit/http.ts";
import { cpuSecondsOf } from "../audit/process-facts.ts";
import { nextOffsetOf, pullPath } from "./replay.ts";

const slicesEach = 8;
const sliceMs = 2_000;

/** Reads as much as it can over one connection; answers the bytes of one answer. */
type ReadOnce = (agent: Agent) => Promise<number>;

export interface Contender {
  readonly name: string;
  readonly pid: number;
  /** One a connection. */
  readonly readers: readonly ReadOnce[];
}

export interface Slice {
  readonly bytesPerSecond: number;
  readonly cpuSecondsPerGigabyte: number;
}

/** Has both read in turn, a slice to warm up and then the slices that count. */
export async function compare(
  contenders: readonly Contender[],
): Promise<ReadonlyMap<string, readonly Slice[]>> {
  const slices = new Map<string, Slice[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round <= slicesEach; round++) {
    for (const contender of contenders) {
      const slice = await readSlice(contender);
      if (round > 0) slices.get(contender.name)?.push(slice);
    }
  }
  return slices;
}

async function readSlice({ pid, readers }: Contender): Promise<Slice> {
  const cpuBefore = await cpuSecondsOf(pid);
  const startedAt = performance.now();
  let bytes = 0;
  await Promise.all(
    readers.map(async (readOnce) => {
      const agent = oneConnection();
      while (performance.now() - startedAt < sliceMs) {
        const read = await readOnce(agent);
        bytes += read;
      }
      agent.destroy();
    }),
  );
  const seconds = (performance.now() - startedAt) / 1_000;
  const cpuSeconds = (await cpuSecondsOf(pid)) - cpuBefore;
  return { bytesPerSecond: bytes / seconds, cpuSecondsPerGigabyte: cpuSeconds / (bytes / 1e9) };
}

/** Pulls each queue from its beginning to the end of what is archived of it, again and again. */
export function topicReaders(
  url: string,
  topic: string,
  archivedEnds: readonly number[],
): readonly ReadOnce[] {
  return archivedEnds.map((end, queue) => {
    let offset = 0;
    return async (agent) => {
      const answer = await discard(agent, url + pullPath(topic, queue, offset));
      offset = nextOffsetOf(answer);
      if (offset >= end) offset = 0;
      return answer.bytes;
    };
  });
}

/** Gets all files below a folder in turn, over so many connections. */
export async function fileReaders(
  url: string,
  folder: string,
  connections: number,
): Promise<readonly ReadOnce[]> {
  const files = (await filesBelow(folder)).map((file) => relative(folder, file));
  let next = 0;
  const readOnce: ReadOnce = async (agent) => {
    const file = files[next++ % files.length] ?? "";
    return (await discard(agent, `${url}/${file}`)).bytes;
  };
  return Array.from({ length: connections }, () => readOnce);
}

/** Of the answer only its length is wanted, so that the server under measurement gets as much of the machine as can be. */
function discard(
  agent: Agent,
  url: string,
): Promise<{ readonly bytes: number; readonly headers: IncomingHttpHeaders }> {
  return new Promise((resolve, reject) => {
    get(url, { agent, headers: { accept: batchesType } }, (response) => {
      let bytes = 0;
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) resolve({ bytes, headers: response.headers });
        else reject(new Error(`GET ${url}: ${response.statusCode}`));
      });
    }).on("error", reject);
  });
}
