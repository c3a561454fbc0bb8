/*
 * Messages that wait while no server lives, and while nobody is woken.
 *
 *   node --import tsx scripts/delayed-restart.ts [--seed N] [--rounds 3] [--control]
 *
 * Each round kills the server while messages wait and starts it after some were due: those have to come at once, and the
 * rest on time. After the rounds, once: a server whose alarms never ring and that walks no minute delivers by its sweep
 * alone, within the sweep's period. Controls: a server that forgets what was due before it started, and a sweep that
 * delivers nothing.
 */
import { readCommandLine, say } from "./audit/command-line.ts";
import {
  Follower,
  latenessOf,
  makeTopic,
  pause,
  sendManyDelayed,
  stopAll,
  type Waiting,
  wronglyDelivered,
} from "./audit/delayed.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";

const messagesPerRound = 600;
const queues = 4;
const topic = "orders";
/** The first are due so long after they were sent, the last so long after the first (ms). */
const firstInMs = 1_000;
const spanMs = 6_000;
/** The server is killed and started again so long after the first was due (ms). */
const killedAfterMs = 1_500;
const startedAfterMs = 3_500;
/** "At once" after a start, and "on time" (ms): what a busy machine needs, and far from what anything else would take. */
const atOnceMs = 1_000;
const onTimeMs = 500;
const lateMsMax = 10_000;
const sweepEveryMs = 2_000;

const { rounds, controlOnly, random } = readCommandLine("delayed-restart", { rounds: 3 });

interface Started {
  readonly bundle: string;
  readonly data: string;
}

async function killAndStart(bundle: string, roundCount: number): Promise<readonly string[]> {
  return withFolder(async (data) => {
    const violations: string[] = [];
    const table: Record<string, string | number>[] = [];
    for (let round = 1; round <= roundCount && violations.length === 0; round++) {
      const outcome = await killOnce({ bundle, data }, `${topic}-${round}`);
      table.push({ round, ...outcome.row });
      violations.push(...outcome.violations);
    }
    printTable(table);
    printViolations(violations);
    return violations;
  });
}

async function killOnce(started: Started, name: string) {
  const killed = await ServerProcess.start(started);
  await makeTopic(killed.url, name, queues);
  const begin = Date.now() + firstInMs;
  const waiting = await haveWait(killed.url, name, begin);
  await pause(begin + killedAfterMs - Date.now());
  await killed.kill();
  const killedAt = Date.now();
  await pause(begin + startedAfterMs - Date.now());
  const server = await ServerProcess.start(started);
  const startedAt = Date.now();
  const follower = new Follower(server.url, name, queues);
  await follower.until(waiting.length, begin + spanMs + lateMsMax);
  await pause(500);
  await follower.stop();
  const stopped = await stopAll([server]);
  const violations = [...wronglyDelivered(waiting, follower.arrivals), ...stopped];
  const storedAt = ({ mark }: Waiting) => follower.arrivals.get(mark)?.[0]?.storedAt ?? 0;
  const before = waiting.filter((each) => storedAt(each) > 0 && storedAt(each) <= killedAt);
  const missed = waiting.filter((each) => !before.includes(each) && each.deliverAt <= startedAt);
  const rest = waiting.filter(({ deliverAt }) => deliverAt > startedAt);
  const came = missed.map(storedAt).filter((at) => at > 0);
  const lastMs = Math.max(startedAt, ...came) - startedAt;
  const late = latenessOf(rest, follower.arrivals).stored;
  if (lastMs > atOnceMs) violations.push(`some that were due came ${lastMs} ms after the start`);
  if (late.max > onTimeMs) violations.push(`some of the rest came ${late.max} ms late`);
  if (Math.min(before.length, missed.length, rest.length) === 0)
    violations.push("nothing was due before the kill, while no server lived, or after the start");
  const row = {
    "before the kill": before.length,
    "due meanwhile": missed.length,
    "the last ms after the start": lastMs,
    rest: rest.length,
    "late p50": late.p50,
    p99: late.p99,
    max: late.max,
  };
  return { row, violations };
}

function haveWait(url: string, name: string, begin: number): Promise<Waiting[]> {
  const messages = Array.from({ length: messagesPerRound }, (_, index) => ({
    mark: `${name}-${index}`,
    deliverAt: begin + Math.floor(random() * spanMs),
  }));
  return sendManyDelayed(url, name, messages, { connections: 4, perRequest: 50 });
}

/** Delivered by the sweep alone. */
async function sweepAlone(bundle: string): Promise<readonly string[]> {
  return withFolder(async (data) => {
    const server = await ServerProcess.start({ bundle, data });
    await makeTopic(server.url, topic, queues);
    const begin = Date.now() + firstInMs;
    const waiting = await haveWait(server.url, topic, begin);
    const follower = new Follower(server.url, topic, queues);
    await follower.until(waiting.length, begin + spanMs + lateMsMax);
    await pause(sweepEveryMs);
    await follower.stop();
    const stopped = await stopAll([server]);
    const { stored } = latenessOf(waiting, follower.arrivals);
    printTable([{ "late (ms)": `swept every ${sweepEveryMs}`, ...stored }]);
    const violations = [...wronglyDelivered(waiting, follower.arrivals), ...stopped];
    if (stored.max > sweepEveryMs + onTimeMs)
      violations.push(`some came ${stored.max} ms late, swept every ${sweepEveryMs} ms`);
    printViolations(violations);
    return violations;
  });
}

const main = "src/local/main.ts";

/** Only the sweep is left, and comes sooner than it does. */
const onlySweeps: readonly Patch[] = [
  {
    file: main,
    find: "const sweepEveryMs = 60_000;",
    replace: `const sweepEveryMs = ${sweepEveryMs};`,
  },
  { file: main, find: "  alarm.start();\n", replace: "" },
  {
    file: main,
    find: "const walking = broker.walker.walk(",
    replace: "const walking = (async (..._: unknown[]) => {})(",
  },
];

const forgetsWhatWasDue: Patch = {
  file: "src/broker/timers/walker.ts",
  find: "      doneTo: 0,\n",
  replace: "      doneTo: Date.now(),\n",
};

const sweepsNothing: Patch = {
  file: "src/broker/broker.ts",
  find: "    await this.walker.deliverDue(io);\n",
  replace: "",
};

async function real(): Promise<boolean> {
  say("killed while messages wait, and started after some were due");
  const killed = await killAndStart(await buildServer("restart-plain"), rounds);
  say("nobody is woken, and only the sweep is left");
  const swept = await sweepAlone(await buildServer("restart-sweep", onlySweeps));
  return [
    judge(
      `what was due meanwhile comes within ${atOnceMs} ms of the start, the rest on time, each once`,
      killed.length === 0,
    ),
    judge("the sweep delivers each once, within its period", swept.length === 0),
  ].every(Boolean);
}

async function control(): Promise<boolean> {
  say("control: what was due before the start is forgotten");
  const forgot = await buildServer("restart-forgets", [forgetsWhatWasDue]);
  const forgotten = await killAndStart(forgot, 1);
  say("control: nobody is woken, and the sweep delivers nothing");
  const bundle = await buildServer("restart-nothing", [...onlySweeps, sweepsNothing]);
  const never = await sweepAlone(bundle);
  const isMissing = (text: string) => text.includes("not there");
  return [
    judge("the audit misses what was forgotten", forgotten.some(isMissing)),
    judge("and what nobody delivers", never.some(isMissing)),
  ].every(Boolean);
}

const passed = controlOnly || (await real());
const caught = await control();
finish(passed && caught);
