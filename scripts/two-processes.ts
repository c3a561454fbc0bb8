/*
 * Two servers on one data folder, under load on the same queues. One of them is killed and started again, and again;
 * what it left undecided is sent again, with the same batch id, through the other one.
 *
 *   node --import tsx scripts/two-processes.ts [--seed N] [--rounds 5] [--control]
 *
 * `--rounds` is the number of kills. Control: the same with batch ids not looked up, which has to show doubles.
 */
import { type Audit, audit } from "./audit/audit.ts";
import { readCommandLine, say } from "./audit/command-line.ts";
import { expectJson, oneConnection } from "./audit/http.ts";
import { isDecided, Ledger, type Sending } from "./audit/ledger.ts";
import { attempt } from "./audit/producer.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";
import { newSending } from "./audit/workload.ts";

const producers = 16;
const queues = 4;
const topic = "orders";
/** So many requests are given up by their producer, and made again elsewhere, while the server still works on them. */
const abandonedShare = 0.1;
const abandonedAfterMsMax = 20;
/** A request that says it is the first attempt is made again no sooner than this (ms). */
const retryPauseMs = 1_000;
const settleMsMax = 30_000;

const { rounds, controlOnly, random } = readCommandLine("two-processes", { rounds: 5 });

interface Run {
  readonly bundle: string;
  readonly data: string;
  readonly ledger: Ledger;
  /** The two, the second of which is replaced after each kill. */
  readonly servers: [ServerProcess, ServerProcess];
  going: boolean;
  elsewhere: number;
}

async function twoProcesses(bundle: string): Promise<readonly string[]> {
  return withFolder(async (data) => {
    const first = await ServerProcess.start({ bundle, data });
    const second = await ServerProcess.start({ bundle, data });
    await expectJson(first.url, "PUT", `/v1/topics/${topic}`, { queues });
    const ledger = new Ledger();
    const run: Run = { bundle, data, ledger, servers: [first, second], going: true, elsewhere: 0 };
    const loads = Array.from({ length: producers }, (_, i) => produce(run, `p${i}`));
    const table = await killAgainAndAgain(run);
    run.going = false;
    await Promise.all(loads);
    const audits = await Promise.all(run.servers.map((server) => auditOver(server, ledger)));
    table.push({ ...row(run, "end"), "in the log": audits[0]?.messages ?? 0 });
    printTable(table);
    const ends = audits.reduce((sum, { earlyEnds }) => sum + earlyEnds, 0);
    const errors = [...ledger.errors].map(([code, count]) => `${count} ${code}`).join(", ");
    say(`  errors told to producers: ${errors || "none"}; early ends: ${ends}`);
    const stopped = await Promise.all(run.servers.map((server) => server.stop()));
    const violations = [
      ...audits.flatMap((one) => one.violations),
      ...ledger.violations,
      ...stopped.flatMap(({ code }) => (code === 0 ? [] : [`a server ended with ${code}`])),
    ];
    printViolations(violations);
    return violations;
  });
}

async function killAgainAndAgain(run: Run): Promise<Record<string, string | number>[]> {
  const table: Record<string, string | number>[] = [];
  for (let kill = 1; kill <= rounds; kill++) {
    await pause(500 + random() * 1_000);
    await run.servers[1].kill();
    await pause(random() * 500);
    run.servers[1] = await ServerProcess.start(run);
    table.push({ ...row(run, `kill ${kill}`), "in the log": "" });
  }
  await pause(500);
  return table;
}

function row({ ledger, elsewhere }: Run, when: string) {
  return {
    when,
    attempts: ledger.attempts,
    unanswered: ledger.unanswered,
    "sent again": elsewhere,
    acknowledged: ledger.count("acknowledged"),
    undecided: ledger.count("open"),
  };
}

/** Every request carries a batch id and is brought to a decision, through whichever server lives. */
async function produce(run: Run, name: string): Promise<void> {
  const agent = oneConnection();
  const workload = { random, topic, queues, withIdShare: 1, hotShare: 0.5 };
  while (run.going) {
    const sending = newSending(workload, run.ledger, name);
    const slot = random() < 0.5 ? 0 : 1;
    const patience =
      random() < abandonedShare ? { patienceMs: 1 + random() * abandonedAfterMsMax } : {};
    await attempt(agent, run.servers[slot].url, run.ledger, sending, patience);
    if (!isDecided(sending)) await sendElsewhere(run, sending, slot);
  }
  agent.destroy();
}

async function sendElsewhere(run: Run, sending: Sending, slot: 0 | 1): Promise<void> {
  const agent = oneConnection();
  const until = performance.now() + settleMsMax;
  const stillWorking = run.servers[slot].alive;
  if (stillWorking && sending.call.path.includes("attempt=1")) await pause(retryPauseMs);
  for (let other = 1 - slot; !isDecided(sending); other = 1 - other) {
    run.elsewhere++;
    const server = run.servers[other === 0 ? 0 : 1];
    await attempt(agent, server.url, run.ledger, sending);
    if (performance.now() > until) {
      run.ledger.violations.push("a batch was not decided in 30 s");
      break;
    }
    if (!isDecided(sending)) await pause(10);
  }
  agent.destroy();
}

function auditOver({ url }: ServerProcess, ledger: Ledger): Promise<Audit> {
  return audit({ url, topic, queues }, ledger);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const withoutLookup: Patch = {
  file: "src/broker/log/tail-chain.ts",
  find: "return batch.firstAttemptAt > 0 ? this.#landings.get(batch.idKey) : undefined;",
  replace: "return undefined;",
};

async function real(): Promise<boolean> {
  say("the server as it is, twice on one folder");
  const violations = await twoProcesses(await buildServer("two-plain"));
  return judge(
    "dense, nothing lost, nothing twice, all where it was acknowledged",
    violations.length === 0,
  );
}

async function control(): Promise<boolean> {
  say("control: batch ids are not looked up");
  const violations = await twoProcesses(await buildServer("two-control", [withoutLookup]));
  return judge(
    "the audit sees doubles",
    violations.some((text) => text.includes("a second time")),
  );
}

const passed = controlOnly || (await real());
const caught = await control();
finish(passed && caught);
