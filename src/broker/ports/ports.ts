import type { Alarm } from "./alarm.ts";
import type { Blobs } from "./blobs.ts";
import type { Clock } from "./clock.ts";
import type { Compression } from "./compression.ts";
import type { Random } from "./random.ts";
import type { Store } from "./store.ts";
import type { Webhooks } from "./webhooks.ts";

/** All that a broker needs of the world. Whoever holds these may run one. */
export interface Ports {
  readonly store: Store;
  readonly blobs: Blobs;
  readonly alarm: Alarm;
  readonly clock: Clock;
  readonly random: Random;
  readonly compression: Compression;
  readonly webhooks: Webhooks;
}
