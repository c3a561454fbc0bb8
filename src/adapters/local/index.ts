/** The ports of one machine: LMDB, files, timers of the process. For whoever embeds the broker (`tasso/broker`). */

export { NodeWebhooks } from "../webhooks/node-webhooks.ts";
export { FileBlobs } from "./file-blobs.ts";
export { LmdbStore } from "./lmdb-store.ts";
export { LocalAlarm } from "./local-alarm.ts";
export { NodeCompression } from "./node-compression.ts";
export { SystemClock } from "./system-clock.ts";
export { SystemRandom } from "./system-random.ts";
