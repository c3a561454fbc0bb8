import { LmdbStore } from "../../src/adapters/local/lmdb-store.ts";
import { SystemClock } from "../../src/adapters/local/system-clock.ts";
import { SystemRandom } from "../../src/adapters/local/system-random.ts";
import { MemoryStore } from "../../src/adapters/memory/memory-store.ts";
import { operations } from "../../src/api/operations.ts";
import { Broker } from "../../src/broker/broker.ts";
import type { Ports } from "../../src/broker/ports/ports.ts";
import { startServer } from "../../src/local/server.ts";
import { makeTemporaryFolder } from "../adapters/local/temporary-folder.ts";
import type { Fetch } from "./http-client.ts";
import { memoryPorts } from "./memory-ports.ts";
import { startServerProcess } from "./server-process.ts";

export interface RunningTarget {
  readonly url: string;
  /** What signs requests, where they have to be signed. */
  readonly fetch?: Fetch;
  /** Each right is served by a process of its own, which learns of the others' changes when what it remembers is old. */
  readonly processPerRight?: boolean;
  stop(): Promise<void>;
}

/** A way to run the API. The suite knows nothing else of it. */
export interface Target {
  readonly name: string;
  start(): Promise<RunningTarget>;
}

/** The server in this process, over the memory adapters. */
export const memoryTarget: Target = {
  name: "the server over memory",
  start: async () => {
    const clock = new SystemClock();
    return serve(memoryPorts(clock, { store: new MemoryStore(clock) }));
  },
};

/** The server in this process, over LMDB in a temporary folder. */
export const lmdbTarget: Target = {
  name: "the server over LMDB",
  async start() {
    const clock = new SystemClock();
    const folder = await makeTemporaryFolder();
    const store = await LmdbStore.open({ path: `${folder.path}/store.mdb`, clock });
    const server = await serve(memoryPorts(clock, { store }));
    return {
      url: server.url,
      async stop() {
        await server.stop();
        await store.close();
        await folder.remove();
      },
    };
  },
};

/** What `npm start` runs, as a process of its own. */
export const processTarget: Target = {
  name: "the server as a process",
  async start() {
    const folder = await makeTemporaryFolder();
    const server = await startServerProcess([
      "--data",
      folder.path,
      "--advertise",
      "http://broker.example:1290",
    ]);
    return {
      url: server.url,
      async stop() {
        await server.stop();
        await folder.remove();
      },
    };
  },
};

/** The server in this process over any ports. `table` stands in for the operations. */
export async function serve(
  ports: Ports,
  table = operations,
  broker = new Broker({ ...ports, random: new SystemRandom() }),
): Promise<RunningTarget> {
  broker.identity = { name: "here", endpoint: "http://broker.example:1290" };
  const errors: unknown[] = [];
  const onError = (error: unknown) => void errors.push(error);
  const server = await startServer({
    host: "127.0.0.1",
    port: 0,
    allowedHosts: [],
    corsOrigin: undefined,
    endWaits: () => broker.log.arrivals.close(),
    broker,
    operations: table,
    onError,
  });
  // As in src/local/main.ts: whoever serves delayed messages walks them.
  const stopWalking = new AbortController();
  const { signal } = stopWalking;
  const walking = broker.walker.walk(broker.ports, Number.POSITIVE_INFINITY, { signal, onError });
  return {
    url: server.url,
    async stop() {
      stopWalking.abort();
      await walking;
      await server.close();
      if (errors.length > 0) throw new AggregateError(errors, "the server logged errors");
    },
  };
}
