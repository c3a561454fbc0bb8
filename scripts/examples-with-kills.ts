/*
 * The examples of order timeouts and of the loan pipeline, their processes and the server killed with SIGKILL at random
 * times and started again, behind a proxy that loses 10 % of the replies. When all is settled, the example's own check of
 * its ledgers and topics has to say that all is right.
 *
 *   node --import tsx scripts/examples-with-kills.ts [--seed N] [--runs 100] [--example order-timeout|loan-pipeline] [--control]
 *
 * `--runs` is the number of runs of each example. Controls: a verifier that sends and then acknowledges instead of
 * forwarding, and a shop that confirms whatever it is asked about; until the check fails, which it has to within the
 * runs, or within 30 where there are fewer.
 */
import { mkdir } from "node:fs/promises";
import { seededRandom } from "../src/adapters/faulty/faults.ts";
import { readCommandLine, say } from "./audit/command-line.ts";
import { ExampleProcess } from "./audit/example-process.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import { RetryProxy } from "./audit/retry-proxy.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";

interface Example {
  readonly name: string;
  /** Run to its end before anybody is killed. */
  readonly first?: string;
  /** Killed now and then. */
  readonly processes: readonly string[];
  readonly count: number;
}

const examples: readonly Example[] = [
  { name: "order-timeout", processes: ["shop", "canceller"], count: 20 },
  {
    name: "loan-pipeline",
    first: "customers",
    processes: ["application-desk", "verifier", "bank"],
    count: 40,
  },
];
/** So short that a run takes some seconds; the broker allows no less than 1 s for checks and invisible messages. */
const times = {
  PAYMENT_WINDOW_MS: "700",
  CHECK_MS: "1000",
  INVISIBLE_MS: "1000",
  WAIT_MS: "300",
};
const faults = { droppedShare: 0.1, heldBackShare: 0, othersDroppedShare: 0.1 };
/** A process is killed so often. */
const killsMin = 2;
const killsMax = 4;
/** Some as they start, so long after it at most (ms). */
const killedAtStartShare = 0.2;
const startMsMax = 300;
/** The others at work: so long at most after the first to the last of so many things that they did (ms), or idle. */
const deedsMax = 10;
const deedMsMax = 20;
const idleMsMax = 4_000;
const serverKillsMax = 1;
const serverLifeMsMax = 2_000;
const controlRunsMin = 30;
/** A run waits more than it works. */
const runsAtOnce = 3;

const { seed, runs, example, controlOnly } = readCommandLine(
  "examples-with-kills",
  { runs: 100 },
  [],
  { example: examples.map(({ name }) => name) },
);

type Bundles = ReadonlyMap<string, string>;

interface Run {
  readonly wrong: readonly string[];
  readonly kills: number;
  readonly lost: number;
}

const made = new Map<string, string>();

/** As it is, made once. */
async function bundled(source: string): Promise<string> {
  const bundle =
    made.get(source) ?? (await buildServer(`example-${source.replace(/\W/g, "-")}`, [], source));
  made.set(source, bundle);
  return bundle;
}

/** The server, the processes of an example and its check; one of them changed where it is the control. */
async function bundlesOf(
  { name, first, processes }: Example,
  changed?: Pick<Control, "entry" | "patches">,
) {
  const bundles = new Map([["server", await bundled("src/local/main.ts")]]);
  for (const entry of [...processes, "check", ...(first === undefined ? [] : [first])]) {
    const source = `examples/${name}/${entry}.ts`;
    const isChanged = entry === changed?.entry;
    const bundle = isChanged
      ? buildServer("example-control", changed?.patches, source)
      : bundled(source);
    bundles.set(entry, await bundle);
  }
  return bundles;
}

async function runOnce(of: Example, bundles: Bundles, runSeed: number): Promise<Run> {
  return withFolder(async (folder) => {
    const dice = seededRandom(runSeed);
    const databases = `${folder}/databases`;
    await mkdir(databases);
    const serverOptions = { bundle: bundles.get("server") ?? "", data: `${folder}/data` };
    const server = { process: await ServerProcess.start(serverOptions), kills: 0 };
    const { url } = server.process;
    const proxy = await RetryProxy.listen([url], faults);
    const environment = (broker: string) => ({
      ...times,
      TASSO_URL: broker,
      DATABASES: databases,
      COUNT: String(of.count),
      SEED: String(runSeed),
    });
    const start = (entry: string, broker = proxy.url) =>
      new ExampleProcess(bundles.get(entry) ?? "", environment(broker));
    const wrong: string[] = [];
    const toEnd = async (entry: string) => {
      const process = start(entry, url);
      const code = await process.exited;
      if (code !== 0) wrong.push(...process.output.trim().split("\n"));
      return process.output;
    };
    if (of.first !== undefined) await toEnd(of.first);
    const killing = of.processes.map((entry) =>
      killNowAndThen(() => start(entry), seededRandom(dice() * 2 ** 32), entry, wrong),
    );
    const serverDice = seededRandom(dice() * 2 ** 32);
    const serverKills = Math.floor(serverDice() * (serverKillsMax + 1));
    for (; server.kills < serverKills; server.kills++) {
      await pause(serverDice() * serverLifeMsMax);
      await server.process.kill();
      const port = Number(new URL(url).port);
      server.process = await ServerProcess.start({ ...serverOptions, port });
    }
    const survivors = await Promise.all(killing);
    const told = await toEnd("check");
    for (const { process, entry } of survivors) {
      if (!process.alive) wrong.push(`${entry} ended by itself: ${process.output.slice(-500)}`);
      await process.kill();
    }
    await proxy.close();
    await server.process.stop();
    const { firstsDropped, retriesDropped, othersDropped } = proxy.seen;
    if (wrong.length === 0) say(`  ${told.trim()}`);
    return {
      wrong,
      kills: survivors.reduce((sum, { kills }) => sum + kills, server.kills),
      lost: firstsDropped + retriesDropped + othersDropped,
    };
  });
}

/** Answers the one that is left alive. One that ends by itself is a violation. */
async function killNowAndThen(
  start: () => ExampleProcess,
  dice: () => number,
  entry: string,
  wrong: string[],
) {
  const kills = killsMin + Math.floor(dice() * (killsMax - killsMin + 1));
  for (let number = 0; number < kills; number++) {
    const process = start();
    if (dice() < killedAtStartShare) await pause(dice() * startMsMax);
    else {
      await Promise.race([process.said(1 + Math.ceil(dice() * deedsMax)), pause(idleMsMax)]);
      await pause(dice() * deedMsMax);
    }
    if (!process.alive) wrong.push(`${entry} ended by itself: ${process.output.slice(-500)}`);
    await process.kill();
  }
  return { process: start(), kills, entry };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function real(of: Example): Promise<boolean> {
  say(`${of.name}, as it is`);
  const bundles = await bundlesOf(of);
  const done: Run[] = [];
  let next = 0;
  const inTurn = async () => {
    while (next < runs) {
      const runSeed = seed + next++;
      const run = await runOnce(of, bundles, runSeed);
      done.push(run);
      if (run.wrong.length > 0) say(`  --seed ${runSeed} --runs 1 --example ${of.name}:`);
      printViolations(run.wrong);
    }
  };
  await Promise.all(Array.from({ length: runsAtOnce }, inTurn));
  const sum = (part: (run: Run) => number) => done.reduce((all, run) => all + part(run), 0);
  const right = done.filter(({ wrong }) => wrong.length === 0).length;
  const [kills, lost] = [sum((run) => run.kills), sum((run) => run.lost)];
  printTable([{ runs, right, kills, "replies lost": lost }]);
  return [
    judge(`the ledgers of ${of.name} were right ${right} times of ${runs}`, right === runs),
    judge("processes were killed and replies lost", runs === 0 || (kills > 0 && lost > 0)),
  ].every(Boolean);
}

/** A verifier who sends and then acknowledges. */
const file = "examples/loan-pipeline/hop.ts";
const sendThenAck: readonly Patch[] = [
  {
    file,
    find: "import { type DeliveredMessage, isTassoError,",
    replace: "import { type DeliveredMessage, isTassoError, Producer,",
  },
  {
    file,
    find: "  const pass =",
    replace: `  const producer = new Producer({ brokers: [broker], timeoutMs, attemptTimeoutMs });
  const pass =`,
  },
  {
    file,
    find: "await consumer.forward(message, [result]);",
    replace: "await producer.send(result);",
  },
  {
    file,
    find: "await Promise.all(messages.map(pass));",
    replace:
      "await Promise.all(messages.map(pass)); if (messages.length > 0) await consumer.ack(messages);",
  },
];

/** What an example would be without what it shows. */
interface Control {
  readonly told: string;
  /** Whose source is changed, or what it imports. */
  readonly entry: string;
  readonly patches: readonly Patch[];
  readonly shows: RegExp;
}

const controls: Readonly<Record<string, Control>> = {
  "order-timeout": {
    told: "a checker that does not look into its database",
    entry: "shop",
    patches: [
      {
        file: "examples/order-timeout/shop.ts",
        find: 'orders.isTaken(message.text()) ? "commit" : "rollback"',
        replace: 'message ? "commit" : "rollback"',
      },
    ],
    shows: /was announced and is no order/,
  },
  "loan-pipeline": {
    told: "a verifier that sends and then acknowledges",
    entry: "verifier",
    patches: sendThenAck,
    shows: /loan-decisions has \S+ \d+ times/,
  },
};

async function control(of: Example): Promise<boolean> {
  const wanted = controls[of.name];
  if (wanted === undefined) throw new Error(`${of.name} has no control`);
  say(`control: ${wanted.told}`);
  const bundles = await bundlesOf(of, wanted);
  const runsMax = Math.max(runs, controlRunsMin);
  for (let number = 0; number < runsMax; number += runsAtOnce) {
    const some = Array.from({ length: runsAtOnce }, (_, index) =>
      runOnce(of, bundles, seed + number + index),
    );
    const wrong = (await Promise.all(some)).flatMap((run) => run.wrong);
    printViolations(wrong);
    if (wrong.some((line) => wanted.shows.test(line)))
      return judge(`the check fails within ${number + runsAtOnce} runs`, true);
  }
  return judge("the check fails", false);
}

let ok = true;
for (const each of examples) {
  if (example !== undefined && example !== each.name) continue;
  if (!controlOnly) ok = (await real(each)) && ok;
  ok = (await control(each)) && ok;
}
finish(ok);
