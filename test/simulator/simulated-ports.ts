import { gunzipSync } from "node:zlib";
import type { MemoryBlobs } from "../../src/adapters/memory/memory-blobs.ts";
import type { LogSettings } from "../../src/broker/log/log-settings.ts";
import type { Clock } from "../../src/broker/ports/clock.ts";
import type { Ports } from "../../src/broker/ports/ports.ts";
import { type Hazards, Line } from "./line.ts";
import type { SimulatedAlarm } from "./simulated-alarm.ts";
import { SimulatedBlobs } from "./simulated-blobs.ts";
import { type SharedStore, SimulatedStore } from "./simulated-store.ts";
import { type Endpoint, SimulatedWebhooks } from "./simulated-webhooks.ts";
import type { Process, World } from "./world.ts";

export interface SimulatedCell extends SharedStore {
  readonly world: World;
  readonly blobs: MemoryBlobs;
  readonly alarm: SimulatedAlarm;
  /** Who answers webhooks, once it is there. */
  endpoint?: Endpoint;
  /** How its brokers keep the log. */
  readonly log: LogSettings;
}

/** The ports of one broker process: the cell's services behind an unreliable network, under a clock of its own. */
export function simulatedPorts(
  cell: SimulatedCell,
  process: Process,
  { clockError, hazards }: { readonly clockError: number; readonly hazards: Hazards },
): Ports {
  const { world, blobs, alarm, log } = cell;
  const clock: Clock = {
    now: () => world.now + clockError,
    sleep: (ms, signal) => world.sleep(process, ms, signal),
  };
  const line = new Line(world, process, hazards);
  return {
    store: new SimulatedStore(cell, line, clockError),
    // What comes later than a stray blob is looked for is never found; its archiver may have been stopped before.
    blobs: new SimulatedBlobs(blobs, line, Math.floor(log.strayBlobMs / 4)),
    alarm,
    clock,
    random: world.dice,
    compression: {
      gunzip: async (bytes, bytesMax) => gunzipSync(bytes, { maxOutputLength: bytesMax }),
    },
    webhooks: new SimulatedWebhooks(world, process, () => cell.endpoint),
  };
}
