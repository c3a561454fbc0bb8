/*
 * A program that embeds the broker, as a process: it stores one message, or acknowledges one, together with a row of its own,
 * and kills itself at a point. `node embedder-process.mjs JSON`
 */
import process from "node:process";
import { Broker, forward, type OwnWrite, ownKey, type Store, sendWithRows } from "tasso/broker";
import { type EmbedderStore, openPorts } from "./embedder-ports.ts";

export interface EmbedderOrders {
  readonly store: EmbedderStore;
  readonly verb: "send" | "ack";
  /** Names the row and the message. */
  readonly mark: string;
  readonly topic: string;
  readonly group: string;
  /** Of the message to be acknowledged. */
  readonly handle: string;
  readonly dieAt: string;
  /** How long after the point (ms). */
  readonly dieAfterMs: number;
}

const orders: EmbedderOrders = JSON.parse(process.argv[2] ?? "{}");
const { verb, mark, topic, group, handle, dieAt, dieAfterMs } = orders;

function die(): void {
  process.kill(process.pid, "SIGKILL");
}

function reach(point: string): void {
  if (point !== dieAt) return;
  if (dieAfterMs === 0) die();
  else setTimeout(die, dieAfterMs);
}

/** Reaches the points around the commit that holds the row. */
function watched(store: Store): Store {
  return {
    get: (keys) => store.get(keys),
    scan: (range) => store.scan(range),
    async commit(writes, until) {
      const row = ownKey(verb, new TextEncoder().encode(mark)).partition;
      const isIt = writes.some(({ key }) => Buffer.compare(key.partition, row) === 0);
      if (!isIt) return await store.commit(writes, until);
      reach("before the commit");
      const result = store.commit(writes, until);
      reach("in the commit");
      // Refused where another process was faster; then it is tried again.
      if ((await result).outcome === "applied") reach("after the commit");
      return await result;
    },
  };
}

const { ports } = await openPorts(orders.store);
const io = { ...ports, store: watched(ports.store) };
const broker = new Broker(io);
const row: OwnWrite = {
  kind: "put",
  key: ownKey(verb, new TextEncoder().encode(mark)),
  value: new TextEncoder().encode(handle),
  expect: "absent",
};
// What any first request reads is there, so that the moment falls into the commit rather than before it.
await broker.topics.get(io, topic);
reach("at any time");
if (verb === "send") {
  const message = { body: new TextEncoder().encode(mark), messageId: mark };
  await sendWithRows(io, broker, { topic, message, rows: [row] });
} else await forward(io, broker, { group, handles: [handle], sends: [], rows: [row] });
reach("answered");
process.exit(0);
