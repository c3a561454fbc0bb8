import { createHash } from "node:crypto";
import { hostname } from "node:os";
import { resolve } from "node:path";
import { setFlagsFromString } from "node:v8";
import { ExpirySweep } from "../adapters/local/expiry-sweep.ts";
import { FileBlobs } from "../adapters/local/file-blobs.ts";
import { LmdbStore } from "../adapters/local/lmdb-store.ts";
import { LocalAlarm } from "../adapters/local/local-alarm.ts";
import { NodeCompression } from "../adapters/local/node-compression.ts";
import { SystemClock } from "../adapters/local/system-clock.ts";
import { SystemRandom } from "../adapters/local/system-random.ts";
import { NodeWebhooks } from "../adapters/webhooks/node-webhooks.ts";
import { preparedToJson } from "../api/message-json.ts";
import { operations } from "../api/operations.ts";
import { Broker } from "../broker/broker.ts";
import type { BrokerIdentity } from "../broker/broker-identity.ts";
import { limits } from "../broker/limits.ts";
import { minuteOfAlarm } from "../broker/timers/minute-alarm.ts";
import { nameServerLimits } from "../nameserver/limits.ts";
import { beatUntil, Registrar } from "../nameserver/registrar.ts";
import { DataFolderError, openDataFolder } from "./data-folder.ts";
import { logError } from "./log-error.ts";
import { startServer } from "./server.ts";
import { readSettings, type Settings, usage } from "./settings.ts";
import { SettingsError } from "./settings-error.ts";
import { bearer, readToken } from "./tokens.ts";

/** What nobody was woken for is found by looking this often (ms). */
const sweepEveryMs = 60_000;

/**
 * What a request needs lives until its commit is flushed. With room for that many of them the garbage collector finds
 * them dead; in its usual 16 MB it carries them about first.
 *
 * Rows lie outside of its heap, which is small, some 15 MB, and yet count against it: with the usual growth all of it is
 * marked again whenever 5 MB of rows have been read. Four times the heap leaves room for 45 MB of them.
 */
function giveRequestsRoom(): void {
  setFlagsFromString("--max-semi-space-size=64");
  setFlagsFromString("--min-semi-space-size=32");
  setFlagsFromString("--heap-growing-percent=300");
}

async function run(settings: Settings): Promise<void> {
  const { nameServers } = settings;
  const token = await tokenIn("--token-file", settings.tokenFile);
  const nameServerToken = await tokenIn("--name-server-token-file", settings.nameServerTokenFile);
  const folder = await openDataFolder(settings.data);
  const clock = new SystemClock();
  const random = new SystemRandom();
  const store = await LmdbStore.open({ path: folder.store, clock });
  const blobs = await FileBlobs.open({ folder: folder.blobs, clock });
  const stopWalking = new AbortController();
  const { signal } = stopWalking;
  const whileRunning = { until: Number.POSITIVE_INFINITY, signal, onError: logError };
  const alarm = new LocalAlarm({
    store,
    clock,
    random,
    // Delayed messages are walked all the time.
    ring: async (id) => {
      const minute = minuteOfAlarm(id);
      if (minute !== undefined) broker.walker.rewind(minute);
      else await broker.ring(broker.ports, id, whileRunning);
    },
    onError: logError,
  });
  const compression = new NodeCompression();
  const webhooks = new NodeWebhooks({ allow: settings.allowWebhooksTo });
  const ports = { store, blobs, alarm, clock, random, compression, webhooks };
  // A file costs more than a row, whatever its size.
  const { inlineBatchBytesMax } = limits;
  const broker = new Broker(ports, { inlineBatchBytesMax, ...settings.log });
  const expirySweep = new ExpirySweep({ store, clock, onError: logError });
  const sweep = () => broker.sweep(broker.ports);

  const stopped = terminated();
  const server = await startServer({
    ...settings,
    broker,
    operations,
    onError: logError,
    endWaits: () => broker.log.arrivals.close(),
    ...(token === undefined ? {} : { authorize: bearer([{ token }]) }),
  });
  const identity = identityOf(settings, server.url);
  // Without being told it cannot know how others reach it: a proxy may lie between.
  if (settings.advertise !== undefined || nameServers.length > 0) broker.identity = identity;
  broker.walker.delivery.onDamaged = logError;
  broker.webhookChecks.onError = logError;
  broker.webhookChecks.describe = preparedToJson;
  alarm.start();
  const walking = broker.walker.walk(broker.ports, Number.POSITIVE_INFINITY, whileRunning);
  const registrar = new Registrar({
    broker,
    identity,
    nameServers,
    leaseMs: nameServerLimits.leaseMs,
    onError: logError,
    ...(nameServerToken === undefined ? {} : { token: nameServerToken }),
  });
  const beating = nameServers.length > 0 ? beatUntil(registrar, broker, whileRunning) : undefined;
  expirySweep.start();
  const sweeping = setInterval(() => void sweep().catch(logError), sweepEveryMs);
  await sweep().catch(logError);
  process.stdout.write(`tasso listens on ${server.url}\n`);

  await stopped;
  clearInterval(sweeping);
  stopWalking.abort();
  await walking;
  await beating;
  await server.close();
  await alarm.close();
  await expirySweep.close();
  await store.close();
}

function identityOf({ name, data, region, advertise }: Settings, url: string): BrokerIdentity {
  const where = region === undefined ? {} : { region };
  return { name: name ?? nameOf(data), endpoint: advertise ?? url, ...where };
}

/** The same for all who serve one data folder, another one for another: a client takes brokers of one name for one. */
function nameOf(data: string): string {
  const folder = `${hostname()}:${resolve(data)}`;
  return `local-${createHash("sha256").update(folder).digest("hex").slice(0, 12)}`;
}

function tokenIn(option: string, file: string | undefined): Promise<string> | undefined {
  return file === undefined ? undefined : readToken(option, file);
}

function terminated(): Promise<void> {
  return new Promise((done) => {
    process.once("SIGTERM", done);
    process.once("SIGINT", done);
  });
}

/** What the person who started it can mend, in his words; everything else as it is. */
function explain(error: unknown, { host, port }: Settings): string {
  if (error instanceof DataFolderError || error instanceof SettingsError) return error.message;
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "EADDRINUSE")
    return `port ${port} of ${host} is taken; choose another with --port, or 0 for any`;
  if (code === "EACCES") return `port ${port} of ${host} may not be used: ${message}`;
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND")
    return `--host ${host} is no address of this machine`;
  return (error as Error).stack ?? message;
}

async function main(): Promise<void> {
  let settings: Settings | undefined;
  try {
    settings = readSettings(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    process.stderr.write(`tasso: ${error.message}\n\n${usage}\n`);
    process.exit(2);
  }
  if (settings === undefined) {
    process.stdout.write(`${usage}\n`);
    return;
  }
  giveRequestsRoom();
  try {
    await run(settings);
    process.exit(0);
  } catch (error) {
    process.stderr.write(`tasso: ${explain(error, settings)}\n`);
    process.exit(1);
  }
}

await main();
