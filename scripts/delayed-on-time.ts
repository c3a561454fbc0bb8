/*
 * Messages that are due at random while others are sent all the time: none early, each once, and how late, beside a bare
 * timer of Node that is set for the same instants in the same run.
 *
 *   node --import tsx scripts/delayed-on-time.ts [--seed N] [--rounds 10] [--control]
 *
 * A round is 1,000 messages within 3 s. Half of them are sent before all are due, in batches; the others one by one
 * while the rest is delivered. Control: a server that delivers early.
 */
import { spawn } from "node:child_process";
import { json } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { readCommandLine, say } from "./audit/command-line.ts";
import {
  Follower,
  latenessOf,
  makeTopic,
  measure,
  messagesIn,
  type NewDelayed,
  pause,
  sendDelayed,
  sendManyDelayed,
  spread,
  stopAll,
  type Waiting,
  wronglyDelivered,
} from "./audit/delayed.ts";
import { oneConnection } from "./audit/http.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";
import { loadQueues, SteadyLoad } from "./audit/steady-load.ts";

const messagesPerRound = 1_000;
const roundMs = 3_000;
const queues = 4;
const loadPerSecond = 5_000;
/** What is sent while others are delivered is sent so long before it is due at least (ms). */
const leadMs = 200;
const beginsInMs = 3_000;
const lateMsMax = 20_000;
/** So much later than a bare timer the 99th percentile may be (ms). */
const allowedMs = 50;

const { rounds, controlOnly, random } = readCommandLine("delayed-on-time", { rounds: 10 });

interface Outcome {
  readonly violations: readonly string[];
  readonly p99: number;
  readonly bareP99: number;
  readonly othersPerSecond: number;
}

async function deliverOnTime(bundle: string, roundCount: number): Promise<Outcome> {
  return withFolder(async (data) => {
    const server = await ServerProcess.start({ bundle, data });
    const { url } = server;
    await makeTopic(url, "later", queues);
    await makeTopic(url, "orders", loadQueues);
    const follower = new Follower(url, "later", queues);
    const load = new SteadyLoad(url, "orders", loadPerSecond);

    const begin = Date.now() + beginsInMs;
    const spanMs = roundCount * roundMs;
    const messages = Array.from({ length: roundCount * messagesPerRound }, (_, index) => ({
      mark: `m${index}`,
      deliverAt: begin + Math.floor(random() * spanMs),
    }));
    const bare = bareTimers(messages.map(({ deliverAt }) => deliverAt));
    const half = messages.length / 2;
    const [waiting, during] = await Promise.all([
      sendManyDelayed(url, "later", messages.slice(0, half), { connections: 4, perRequest: 200 }),
      sendOneByOne(url, messages.slice(half), begin),
    ]);
    waiting.push(...during);
    await follower.until(messages.length, begin + spanMs + lateMsMax);
    await load.stop();
    // What is delivered twice comes within a look or two.
    await pause(1_000);
    await follower.stop();

    // What was told to wait when it was due already is late by its sender.
    const inTime = waiting.filter(({ answeredAt, deliverAt }) => answeredAt <= deliverAt);
    const { stored, received } = latenessOf(inTime, follower.arrivals);
    const alone = spread(await bare);
    printTable([
      { "late (ms)": "bare timer", ...alone },
      { "late (ms)": "stored", ...stored },
      { "late (ms)": "received", ...received },
    ]);
    const lateSends = waiting.length - inTime.length;
    say(`  ${waiting.length} messages, ${lateSends} of them answered when they were due already`);
    const violations = wronglyDelivered(waiting, follower.arrivals);
    const others = await messagesIn(url, "orders");
    if (others !== load.acknowledged)
      violations.push(`${load.acknowledged} others were acknowledged, and ${others} are there`);
    violations.push(...(await stopAll([server])));
    printViolations(violations);
    return { violations, p99: received.p99, bareP99: alone.p99, othersPerSecond: load.perSecond };
  });
}

/** Each some time after the first are due, and before it is due itself. */
async function sendOneByOne(
  url: string,
  messages: readonly NewDelayed[],
  begin: number,
): Promise<Waiting[]> {
  const agents = Array.from({ length: 32 }, oneConnection);
  const sent = messages.map(async (message, index) => {
    const aheadMs = Math.max(0, (message.deliverAt ?? 0) - leadMs - begin);
    await pause(begin - Date.now() + random() * aheadMs);
    const agent = agents[index % agents.length] ?? oneConnection();
    return sendDelayed(agent, url, "later", [message]);
  });
  const waiting = (await Promise.all(sent)).flat();
  for (const agent of agents) agent.destroy();
  return waiting;
}

/** How late the timers of a process of Node ring that does nothing else (ms). */
async function bareTimers(instants: readonly number[]): Promise<number[]> {
  const script = fileURLToPath(new URL("audit/bare-timers.mjs", import.meta.url));
  const child = spawn(process.execPath, [script], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(JSON.stringify(instants));
  return (await json(child.stdout)) as number[];
}

const early: Patch = {
  file: "src/broker/timers/walker.ts",
  find: "to: offsetKey(readAt + 1),",
  replace: "to: offsetKey(readAt + 21),",
};

async function real(): Promise<boolean> {
  say("the server as it is");
  const bundle = await buildServer("on-time-plain");
  const isOnTime = ({ p99, bareP99 }: Outcome) => p99 <= bareP99 + allowedMs;
  const isLoaded = ({ othersPerSecond }: Outcome) => othersPerSecond >= 0.97 * loadPerSecond;
  const outcome = await measure(
    () => deliverOnTime(bundle, rounds),
    // What is wrong stays wrong.
    (each) => each.violations.length > 0 || (isOnTime(each) && isLoaded(each)),
  );
  return [
    judge("none early, each once, nothing else lost", outcome.violations.length === 0),
    judge(
      `99 of 100 are received within ${outcome.p99} ms, a bare timer rings within ${outcome.bareP99} ms: ${allowedMs} more allowed`,
      isOnTime(outcome),
    ),
    judge(
      `${outcome.othersPerSecond} others a second, ${loadPerSecond} demanded`,
      isLoaded(outcome),
    ),
  ].every(Boolean);
}

async function control(): Promise<boolean> {
  say("control: delivers up to 20 ms early");
  const { violations } = await deliverOnTime(await buildServer("on-time-control", [early]), 1);
  return judge(
    "the audit notices",
    violations.some((text) => text.includes("early")),
  );
}

const passed = controlOnly || (await real());
const caught = await control();
finish(passed && caught);
