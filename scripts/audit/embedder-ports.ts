import { DynamoStore } from "tasso/aws";
import type { Alarm, Ports } from "tasso/broker";
import {
  FileBlobs,
  LmdbStore,
  NodeCompression,
  NodeWebhooks,
  SystemClock,
  SystemRandom,
} from "tasso/local";

/** Where an embedder's rows and messages lie. */
export type EmbedderStore = { readonly folder: string } & (
  | { readonly kind: "lmdb" }
  | { readonly kind: "dynamodb"; readonly table: string; readonly endpoint: string }
);

const noAlarm: Alarm = { set: async () => undefined, cancel: async () => undefined };

/** The ports over LMDB, or over DynamoDB; nothing here is large or waits. */
export async function openPorts(
  at: EmbedderStore,
): Promise<{ readonly ports: Ports; close(): Promise<void> }> {
  const clock = new SystemClock();
  const store = await storeAt(at, clock);
  const blobs = await FileBlobs.open({ folder: `${at.folder}/blobs`, clock });
  const compression = new NodeCompression();
  const [random, webhooks] = [new SystemRandom(), new NodeWebhooks()];
  const ports = { store, blobs, alarm: noAlarm, clock, random, compression, webhooks };
  return { ports, close: async () => store.close() };
}

async function storeAt(at: EmbedderStore, clock: SystemClock): Promise<LmdbStore | DynamoStore> {
  if (at.kind === "lmdb") return await LmdbStore.open({ path: `${at.folder}/store.mdb`, clock });
  const client = {
    endpoint: at.endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
  };
  return new DynamoStore({ table: at.table, clock, client });
}
