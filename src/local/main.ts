import { readFile } from "node:fs/promises";
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
import { limits } from "../broker/limits.ts";
import { minuteOfAlarm } from "../broker/timers/minute-alarm.ts";
import { DataFolderError, openDataFolder } from "./data-folder.ts";
import { startServer } from "./server.ts";
import { readSettings, type Settings, SettingsError, usage } from "./settings.ts";

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
  const token = settings.tokenFile === undefined ? undefined : await readToken(settings.tokenFile);
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
  const server = await startServer({ ...settings, token, broker, operations, onError: logError });
  broker.walker.delivery.onDamaged = logError;
  broker.webhookChecks.onError = logError;
  broker.webhookChecks.describe = preparedToJson;
  alarm.start();
  const walking = broker.walker.walk(broker.ports, Number.POSITIVE_INFINITY, whileRunning);
  expirySweep.start();
  const sweeping = setInterval(() => void sweep().catch(logError), sweepEveryMs);
  await sweep().catch(logError);
  process.stdout.write(`tasso listens on ${server.url}\n`);

  await stopped;
  clearInterval(sweeping);
  stopWalking.abort();
  await walking;
  await server.close();
  await alarm.close();
  await expirySweep.close();
  await store.close();
}

function terminated(): Promise<void> {
  return new Promise((resolve) => {
    process.once("SIGTERM", resolve);
    process.once("SIGINT", resolve);
  });
}

async function readToken(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new SettingsError(`--token-file ${path} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const [token = ""] = text.split("\n");
  if (token.trim() === "")
    throw new SettingsError(`--token-file ${path} must begin with a line that holds the token`);
  return token.trim();
}

/** One line of JSON an error, with what caused it down to the first cause. */
function logError(error: unknown, requestId?: string): void {
  const { name, message, stack } = error as Error;
  const causes = [...causesOf(error)].map(String);
  const at = new Date().toISOString();
  process.stderr.write(`${JSON.stringify({ at, requestId, name, message, causes, stack })}\n`);
}

function* causesOf(error: unknown): Generator<unknown> {
  for (let cause = (error as Error).cause; cause !== undefined; cause = (cause as Error).cause) {
    yield cause;
  }
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
