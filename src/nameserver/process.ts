import { NodeCompression } from "../adapters/local/node-compression.ts";
import { SystemClock } from "../adapters/local/system-clock.ts";
import { SystemRandom } from "../adapters/local/system-random.ts";
import { MemoryAlarm } from "../adapters/memory/memory-alarm.ts";
import { MemoryBlobs } from "../adapters/memory/memory-blobs.ts";
import { MemoryStore } from "../adapters/memory/memory-store.ts";
import { NodeWebhooks } from "../adapters/webhooks/node-webhooks.ts";
import type { Clock } from "../broker/ports/clock.ts";
import { logError } from "../local/log-error.ts";
import { type RunningServer, startServer } from "../local/server.ts";
import { bearer, readToken, type Token } from "../local/tokens.ts";
import { nameServerOperations } from "./operations.ts";
import { Registry } from "./registry.ts";
import type { NameServerSettings } from "./settings.ts";

/** A name server that is a process and keeps nothing: after one beat of the brokers it knows everything again. */
export async function startNameServer(
  settings: NameServerSettings,
  clock: Clock = new SystemClock(),
): Promise<RunningServer> {
  const ports = {
    store: new MemoryStore(clock),
    // Nothing here is large or has to be woken.
    blobs: new MemoryBlobs(),
    alarm: new MemoryAlarm({ clock, ring: async () => undefined }),
    clock,
    random: new SystemRandom(),
    compression: new NodeCompression(),
    webhooks: new NodeWebhooks(),
  };
  const tokens = await tokensOf(settings);
  return startServer({
    ...settings,
    corsOrigin: undefined,
    broker: new Registry(ports, settings),
    operations: nameServerOperations,
    ...(tokens.length === 0 ? {} : { authorize: bearer(tokens) }),
    onError: logError,
  });
}

async function tokensOf({ tokenFile, brokerTokenFile }: NameServerSettings): Promise<Token[]> {
  if (tokenFile === undefined) return [];
  const token = await readToken("--token-file", tokenFile);
  if (brokerTokenFile === undefined) return [{ token }];
  const brokers = await readToken("--broker-token-file", brokerTokenFile);
  return [{ token, rights: ["route"] }, { token: brokers }];
}
