/**
 * The ports over AWS: DynamoDB, S3, EventBridge Scheduler. For whoever embeds the broker (`tasso/broker`) beside a deployed
 * cell, or instead of one. Clock, randomness and compression are those of the process.
 */

export { NodeCompression } from "../local/node-compression.ts";
export { SystemClock } from "../local/system-clock.ts";
export { SystemRandom } from "../local/system-random.ts";
export { DynamoStore } from "./dynamo-store.ts";
export { S3Blobs } from "./s3-blobs.ts";
export { SchedulerAlarm } from "./scheduler-alarm.ts";
