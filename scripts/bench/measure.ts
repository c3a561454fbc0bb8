import type { Cell } from "./cells.ts";
import { Connections, type RequestSource } from "./load.ts";
import {
  acceptOf,
  binarySends,
  jsonSends,
  type Place,
  pullPath,
  pulls,
  topic,
} from "./requests.ts";
import type { ServerProcess } from "./server-process.ts";

/** Starts the servers that are compared, each with an empty data folder of its own. */
export interface Servers {
  ours(): Promise<ServerProcess>;
  baseline(form: BaselineForm): Promise<ServerProcess>;
}

/** How the baseline awaits the disk. */
export type BaselineForm = "plain" | "overlapping";

/** Medians over the slices. */
export interface Side {
  readonly messagesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuSecondsPerMillion: number;
}

export interface Measured {
  readonly cell: Cell;
  readonly ours: Side;
  readonly baseline: Side;
  readonly baselineForm: BaselineForm | "memory";
  /** Ours by the baseline's: messages a second. */
  readonly ratio: number;
  /** Lowest and highest ratio of neighbouring slices: how quiet the machine was. */
  readonly ratioSpread: readonly [number, number];
  /** Ours by the baseline's: CPU time a message. */
  readonly cpuRatio: number;
}

const slicesEach = 6;
export const queues = 8;
/** What lies in the queues before pulls are measured: no more requests than this, no more bytes. */
const fillRequestsMax = 4_096;
const fillMessagesMax = 16_384;

interface Contender {
  readonly server: ServerProcess;
  readonly connections: Connections;
  readonly source: RequestSource;
}

/** Measures one cell on fresh servers: a slice of warming up for each, then slices in turn. */
export async function measure(cell: Cell, servers: Servers, sliceMs: number): Promise<Measured> {
  const started: ServerProcess[] = [];
  const start = async (starting: Promise<ServerProcess>) => {
    const server = await starting;
    started.push(server);
    return server;
  };
  try {
    const ours = await start(servers.ours());
    await createTopic(ours);
    if (cell.verb === "pull") {
      const places = await fill(ours, cell.messages);
      const source = pulls(places, cell);
      const baseline = await start(servers.baseline("plain"));
      await giveAnswer(baseline, await pullOnce(ours, places[0] as Place, cell));
      const contenders = await connected([ours, baseline], source, cell.connections);
      for (const contender of contenders) await slice(contender, cell, sliceMs);
      return await compare(cell, contenders, { sliceMs, baselineForm: "memory" });
    }
    const source = cell.format === "binary" ? binarySends(cell.messages) : jsonSends(cell.messages);
    const forms: readonly BaselineForm[] = ["plain", "overlapping"];
    const [ourContender, ...baselines] = await connected(
      [ours, ...(await Promise.all(forms.map((form) => start(servers.baseline(form)))))],
      source,
      cell.connections,
    );
    await slice(ourContender as Contender, cell, sliceMs);
    const speeds: number[] = [];
    for (const contender of baselines)
      speeds.push((await slice(contender, cell, sliceMs)).messagesPerSecond);
    const best = speeds.indexOf(Math.max(...speeds));
    const pair = [ourContender as Contender, baselines[best] as Contender];
    return await compare(cell, pair, {
      sliceMs,
      baselineForm: forms[best] as BaselineForm,
    });
  } finally {
    await Promise.all(started.map((server) => server.stop()));
  }
}

export async function createTopic(server: ServerProcess): Promise<void> {
  const response = await fetch(server.url(`/v1/topics/${topic}`), {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ queues }),
  });
  if (!response.ok) throw new Error(`no topic: ${await response.text()}`);
}

/** Puts rows of one batch into every queue; answers where the batches begin. */
async function fill(server: ServerProcess, messages: number): Promise<Place[]> {
  const requests = Math.min(fillRequestsMax, Math.floor(fillMessagesMax / messages)) / queues;
  const offsets = Array.from({ length: requests }, (_, index) => index * messages);
  const filled = Array.from({ length: queues }, async (_, queue) => {
    const connections = await Connections.open(server.port, 1);
    await connections.run(binarySends(messages, { queue }), {
      ms: Number.POSITIVE_INFINITY,
      requestsMax: requests,
    });
    connections.close();
  });
  await Promise.all(filled);
  return offsets.flatMap((offset) =>
    Array.from({ length: queues }, (_, queue) => ({ queue, offset })),
  );
}

async function pullOnce(server: ServerProcess, place: Place, cell: Cell): Promise<Response> {
  const response = await fetch(server.url(pullPath(place, cell.messages)), {
    headers: { accept: acceptOf(cell.format) },
  });
  if (!response.ok) throw new Error(`no answer to copy: ${await response.text()}`);
  return response;
}

async function giveAnswer(baseline: ServerProcess, answer: Response): Promise<void> {
  await fetch(baseline.url("/"), {
    method: "PUT",
    headers: { "content-type": answer.headers.get("content-type") ?? "" },
    body: await answer.arrayBuffer(),
  });
}

function connected(
  servers: readonly ServerProcess[],
  source: RequestSource,
  connections: number,
): Promise<Contender[]> {
  return Promise.all(
    servers.map(async (server) => ({
      server,
      source,
      connections: await Connections.open(server.port, connections),
    })),
  );
}

async function compare(
  cell: Cell,
  contenders: readonly Contender[],
  { sliceMs, baselineForm }: { sliceMs: number; baselineForm: Measured["baselineForm"] },
): Promise<Measured> {
  const [ours, baseline] = contenders as [Contender, Contender];
  const slices: { readonly ours: Side; readonly baseline: Side }[] = [];
  for (let index = 0; index < slicesEach; index++) {
    slices.push({
      ours: await slice(ours, cell, sliceMs),
      baseline: await slice(baseline, cell, sliceMs),
    });
  }
  for (const { connections } of contenders) connections.close();
  const ratios = slices.map(
    (pair) => pair.ours.messagesPerSecond / pair.baseline.messagesPerSecond,
  );
  const ourSide = medianSide(slices.map((pair) => pair.ours));
  const baselineSide = medianSide(slices.map((pair) => pair.baseline));
  return {
    cell,
    ours: ourSide,
    baseline: baselineSide,
    baselineForm,
    ratio: ourSide.messagesPerSecond / baselineSide.messagesPerSecond,
    ratioSpread: [Math.min(...ratios), Math.max(...ratios)],
    cpuRatio: ourSide.cpuSecondsPerMillion / baselineSide.cpuSecondsPerMillion,
  };
}

async function slice(contender: Contender, { messages }: Cell, ms: number): Promise<Side> {
  const before = await contender.server.cpuSeconds();
  const { requests, seconds, latencies } = await contender.connections.run(contender.source, {
    ms,
  });
  const cpuSeconds = (await contender.server.cpuSeconds()) - before;
  return {
    messagesPerSecond: (requests * messages) / seconds,
    p50Ms: latencies[Math.floor(requests * 0.5)] ?? Number.NaN,
    p99Ms: latencies[Math.floor(requests * 0.99)] ?? Number.NaN,
    cpuSecondsPerMillion: (cpuSeconds / (requests * messages)) * 1_000_000,
  };
}

function medianSide(sides: readonly Side[]): Side {
  return {
    messagesPerSecond: median(sides.map((side) => side.messagesPerSecond)),
    p50Ms: median(sides.map((side) => side.p50Ms)),
    p99Ms: median(sides.map((side) => side.p99Ms)),
    cpuSecondsPerMillion: median(sides.map((side) => side.cpuSecondsPerMillion)),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return (
    ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2
  );
}
