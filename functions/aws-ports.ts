import { DynamoStore } from "../src/adapters/aws/dynamo-store.ts";
import { NodeCompression } from "../src/adapters/local/node-compression.ts";
import { SystemClock } from "../src/adapters/local/system-clock.ts";
import { SystemRandom } from "../src/adapters/local/system-random.ts";
import type { LogSettings } from "../src/broker/log/log-settings.ts";
import type { Alarm } from "../src/broker/ports/alarm.ts";
import type { Blobs } from "../src/broker/ports/blobs.ts";
import type { Ports } from "../src/broker/ports/ports.ts";
import type { Webhooks } from "../src/broker/ports/webhooks.ts";
import type { Emulated, Settings } from "./settings.ts";

/** DynamoDB removes what has expired at no cost; a delete costs as much as a write. */
export const logOnAws: Partial<LogSettings> = { rowsExpireFreely: true };

/** The ports over AWS. What most calls do without is loaded at its first use: it would double what a cold start loads. */
export function awsPorts(settings: Settings & Emulated, webhooks: Webhooks): Ports {
  const clock = new SystemClock();
  const random = new SystemRandom();
  const store = new DynamoStore({ table: settings.table, clock });
  return {
    store,
    blobs: lateBlobs(async () => {
      const { S3Blobs } = await import("../src/adapters/aws/s3-blobs.ts");
      return new S3Blobs({ bucket: settings.bucket, clock });
    }),
    alarm: lateAlarm(async () => {
      const { SchedulerAlarm } = await import("../src/adapters/aws/scheduler-alarm.ts");
      return new SchedulerAlarm({ ...settings, store, clock, random });
    }),
    clock,
    random,
    compression: new NodeCompression(),
    webhooks,
  };
}

function lateBlobs(load: () => Promise<Blobs>): Blobs {
  const blobs = once(load);
  return {
    put: async (key, bytes) => (await blobs()).put(key, bytes),
    get: async (key, range) => (await blobs()).get(key, range),
    delete: async (key) => (await blobs()).delete(key),
    list: async (prefix, options) => (await blobs()).list(prefix, options),
  };
}

function lateAlarm(load: () => Promise<Alarm>): Alarm {
  const alarm = once(load);
  return {
    set: async (id, at) => (await alarm()).set(id, at),
    cancel: async (id) => (await alarm()).cancel(id),
  };
}

function once<T>(load: () => Promise<T>): () => Promise<T> {
  let loaded: Promise<T> | undefined;
  return () => {
    loaded ??= load();
    return loaded;
  };
}
