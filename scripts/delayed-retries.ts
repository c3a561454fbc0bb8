/*
 * The same delayed batch sent three times and more, behind a proxy that loses replies and lets first attempts arrive after
 * their retries, in front of two servers on one data folder: it waits once and is delivered once, and every answer to it
 * tells the same. And, in process over the memory store with an alarm that counts, that 100,000 sends into one minute set
 * the alarm once a shard.
 *
 *   node --import tsx scripts/delayed-retries.ts [--seed N] [--rounds 500] [--control]
 *
 * `--rounds` is the number of batches; 200 times as many sends go into one minute. Control: a delay that counts from each
 * attempt.
 */
import { MemoryStore } from "../src/adapters/memory/memory-store.ts";
import { Broker } from "../src/broker/broker.ts";
import { sendMessages } from "../src/broker/sending/send-messages.ts";
import { memoryPorts } from "../test/support/memory-ports.ts";
import { VirtualClock } from "../test/support/virtual-clock.ts";
import { readCommandLine, say } from "./audit/command-line.ts";
import {
  Follower,
  makeTopic,
  type NewDelayed,
  pause,
  sendCall,
  stopAll,
  type Waiting,
  waitingIn,
  wronglyDelivered,
} from "./audit/delayed.ts";
import { type Call, call, NoAnswer, oneConnection } from "./audit/http.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import { RetryProxy } from "./audit/retry-proxy.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";
import { randomBytes } from "./audit/workload.ts";

const producers = 16;
const queues = 4;
const topic = "orders";
const delayMs = 1_000;
const messagesMax = 5;
const attemptsMin = 3;
const settleMsMax = 30_000;
const sendsPerRound = 200;
const shards = 8;

const { rounds, controlOnly, random } = readCommandLine("delayed-retries", { rounds: 500 });

interface Run {
  readonly proxy: RetryProxy;
  readonly violations: string[];
  /** By the id of its batch: what every answer to it has to tell. */
  readonly told: Map<string, Told>;
  attempts: number;
}

interface Told {
  readonly messages: readonly NewDelayed[];
  readonly waiting: readonly Waiting[];
}

async function sendAgainAndAgain(bundle: string, batches: number): Promise<readonly string[]> {
  return withFolder(async (data) => {
    const first = await ServerProcess.start({ bundle, data });
    const servers = [first, await ServerProcess.start({ bundle, data })];
    await makeTopic(first.url, topic, queues);
    const follower = new Follower(first.url, topic, queues);
    const proxy = await RetryProxy.listen(servers.map(({ url }) => url));
    const run: Run = { proxy, violations: [], told: new Map(), attempts: 0 };
    let begun = 0;
    const produce = async () => {
      while (begun < batches) await sendUntilTold(run, begun++);
    };
    await Promise.all(Array.from({ length: producers }, produce));
    await proxy.close();
    await pause(delayMs + 1_000);
    await follower.stop();
    for (const { batchId, reply } of proxy.keptReplies) {
      const told = run.told.get(batchId);
      if (told !== undefined && reply.status === 200)
        compare(run, told, waitingIn(reply.body, told.messages));
    }
    const waiting = [...run.told.values()].flatMap((told) => told.waiting);
    const { firstsDropped, retriesDropped, heldBack, answeredByAll } = proxy.seen;
    printTable([
      {
        batches,
        attempts: run.attempts,
        "first replies dropped": firstsDropped,
        "later ones": retriesDropped,
        "first came late": heldBack,
        "answered by both": answeredByAll,
        messages: waiting.length,
        "in the log": follower.count,
      },
    ]);
    const violations = [
      ...run.violations,
      ...proxy.violations,
      ...wronglyDelivered(waiting, follower.arrivals),
      ...(await stopAll(servers)),
    ];
    printViolations(violations);
    return violations;
  });
}

/** The same bytes, three times at least, and until there was an answer. */
async function sendUntilTold(run: Run, number: number): Promise<void> {
  const agent = oneConnection();
  const messages = Array.from({ length: 1 + Math.floor(random() * messagesMax) }, (_, index) => ({
    mark: `m${number}-${index}`,
    delayMs,
    ...(random() < 0.5 ? { queue: Math.floor(random() * queues) } : {}),
  }));
  const batchId = Buffer.from(randomBytes(random, 16)).toString("hex");
  const send = sendCall(topic, messages, { batchId, firstAttemptAt: Date.now() });
  const until = Date.now() + settleMsMax;
  for (let attempts = 1; ; attempts++) {
    const waiting = await attempt(run, agent, { send, messages });
    const told = run.told.get(batchId);
    if (waiting !== undefined && told === undefined) run.told.set(batchId, { messages, waiting });
    else if (waiting !== undefined && told !== undefined) compare(run, told, waiting);
    if (attempts >= attemptsMin && run.told.has(batchId)) break;
    if (Date.now() > until) {
      run.violations.push(`${batchId}: not answered in ${settleMsMax} ms`);
      break;
    }
    // Some attempts come when it has been delivered.
    await pause(random() * 0.6 * delayMs);
  }
  agent.destroy();
}

async function attempt(
  run: Run,
  agent: ReturnType<typeof oneConnection>,
  { send, messages }: { readonly send: Call; readonly messages: readonly NewDelayed[] },
): Promise<Waiting[] | undefined> {
  run.attempts++;
  try {
    const { status, body } = await call(agent, run.proxy.url, send);
    if (status === 200) return waitingIn(body, messages);
    run.violations.push(`a send was answered with ${status}: ${body}`);
  } catch (error) {
    if (!(error instanceof NoAnswer)) throw error;
  }
  return undefined;
}

function compare({ violations }: Run, told: Told, waiting: readonly Waiting[]): void {
  for (const [index, { mark, recallHandle, deliverAt, messageId }] of waiting.entries()) {
    const before = told.waiting[index];
    if (
      before?.recallHandle !== recallHandle ||
      before.deliverAt !== deliverAt ||
      before.messageId !== messageId
    )
      violations.push(`${mark}: attempts disagree, due at ${before?.deliverAt} and ${deliverAt}`);
  }
}

/** How often the alarm is set, and for how many different ids, when so many are sent into one minute. */
async function countAlarms(sends: number, { brokers }: { readonly brokers: number }) {
  const clock = new VirtualClock();
  const ports = memoryPorts(clock, { store: new MemoryStore(clock) });
  const ids = new Set<string>();
  let calls = 0;
  const alarm = {
    ...ports.alarm,
    set: async (id: string) => {
      calls++;
      ids.add(id);
    },
  };
  const io = { ...ports, alarm };
  const all = Array.from({ length: brokers }, () => new Broker(io));
  await all[0]?.topics.ensure(io, topic, { queues });
  const minute = Math.ceil(clock.now() / 60_000) * 60_000 + 600_000;
  for (let number = 0; number < sends; number++) {
    const broker = all[number % brokers];
    if (broker === undefined) break;
    const deliverAt = minute + Math.floor(random() * 60_000);
    const messages = [{ body: new Uint8Array(1), deliverAt }];
    await sendMessages(io, broker, { topic, messages });
  }
  return { sends, brokers, "calls to set one": calls, schedules: ids.size };
}

const delayFromEachAttempt: Patch = {
  file: "src/broker/sending/send-messages.ts",
  find: "const dueAt = deliveryTime({ deliverAt, delayMs, delayLevel }, bornAt, path);",
  replace: "const dueAt = deliveryTime({ deliverAt, delayMs, delayLevel }, Date.now(), path);",
};

async function real(): Promise<boolean> {
  say("the server as it is, twice on one folder");
  const violations = await sendAgainAndAgain(await buildServer("retries-plain"), rounds);
  say("sends into one minute, over the memory store");
  const alone = await countAlarms(rounds * sendsPerRound, { brokers: 1 });
  const several = await countAlarms((rounds * sendsPerRound) / 10, { brokers: 10 });
  printTable([alone, several]);
  return [
    judge(
      "each waits once and is delivered once, every answer tells the same",
      violations.length === 0,
    ),
    judge(
      `${alone["calls to set one"]} calls made ${alone.schedules} schedules, one a shard allowed`,
      alone["calls to set one"] <= shards && alone.schedules <= shards,
    ),
    judge(
      `ten brokers that share the store make ${several.schedules} schedules with ${several["calls to set one"]} calls as well`,
      several.schedules <= shards && several["calls to set one"] <= shards,
    ),
  ].every(Boolean);
}

async function control(): Promise<boolean> {
  say("control: a delay counts from each attempt");
  const bundle = await buildServer("retries-control", [delayFromEachAttempt]);
  const violations = await sendAgainAndAgain(bundle, Math.min(rounds, 60));
  return [
    judge(
      "the audit sees doubles",
      violations.some((text) => / there \d+ times/.test(text)),
    ),
    judge(
      "and answers that disagree",
      violations.some((text) => text.includes("attempts disagree")),
    ),
  ].every(Boolean);
}

const passed = controlOnly || (await real());
const caught = await control();
finish(passed && caught);
