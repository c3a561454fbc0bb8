import { Connections } from "./load.ts";
import { createTopic, median, type Servers } from "./measure.ts";
import { binarySends, pulls } from "./requests.ts";

export interface Seek {
  readonly messages: number;
  /** Medians of the pulls from each end (ms). */
  readonly startMs: number;
  readonly endMs: number;
  /** The slower by the faster. */
  readonly ratio: number;
}

export const seekRatioMax = 1.2;

const messagesAll = 1_000_000;
const messagesPerBatch = 32;
const pullsEach = 300;
const warmUps = 50;

/** Pulls of 32 messages from the start and from the end of one long queue, in turn: the length must not matter. */
export async function seek(servers: Servers): Promise<Seek> {
  const server = await servers.ours();
  try {
    await createTopic(server);
    const fillers = await Connections.open(server.port, 16);
    await fillers.run(binarySends(messagesPerBatch, { queue: 0 }), {
      ms: Number.POSITIVE_INFINITY,
      requestsMax: messagesAll / messagesPerBatch,
    });
    fillers.close();

    const connection = await Connections.open(server.port, 1);
    const pull = async (offset: number) => {
      const source = pulls([{ queue: 0, offset }], {
        format: "binary",
        messages: messagesPerBatch,
      });
      const load = await connection.run(source, { ms: Number.POSITIVE_INFINITY, requestsMax: 1 });
      return load.latencies[0] ?? Number.NaN;
    };
    const start: number[] = [];
    const end: number[] = [];
    for (let index = 0; index < warmUps + pullsEach; index++) {
      const distance = index * messagesPerBatch;
      start.push(await pull(distance));
      end.push(await pull(messagesAll - messagesPerBatch - distance));
    }
    connection.close();
    const startMs = median(start.slice(warmUps));
    const endMs = median(end.slice(warmUps));
    const ratio = Math.max(startMs, endMs) / Math.min(startMs, endMs);
    return { messages: messagesAll, startMs, endMs, ratio };
  } finally {
    await server.stop();
  }
}
