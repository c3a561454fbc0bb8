/*
 * Kills the local server with SIGKILL under load, again and again, and audits what it kept.
 *
 *   node --import tsx scripts/kill-rounds.ts [--seed N] [--rounds 20] [--control]
 *
 * Three runs: the server as it is; the same over a store that fails; and, as control, that one with a known bug, an
 * acknowledgement before the write, which the audit has to notice.
 */
import { type Audit, audit } from "./audit/audit.ts";
import { readCommandLine, say } from "./audit/command-line.ts";
import { Committed } from "./audit/committer.ts";
import { acknowledgeBeforeWrite, faultyStore } from "./audit/faulty-server.ts";
import { expectJson, oneConnection } from "./audit/http.ts";
import { Ledger } from "./audit/ledger.ts";
import { attempt, settle } from "./audit/producer.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import { buildServer, finish, ServerProcess, withFolder } from "./audit/server-process.ts";
import { newSending, type Workload } from "./audit/workload.ts";

const producers = 16;
const committers = 2;
const queues = 6;
const topic = "orders";
/** Load lasts so long at least and at most before the kill (ms). */
const loadMs = { min: 300, max: 1_500 };
const inFlightPerKill = 10;

const { seed, rounds, controlOnly, random } = readCommandLine("kill-rounds", { rounds: 20 });

interface Run {
  readonly bundle: string;
  readonly data: string;
  readonly ledger: Ledger;
  readonly committed: Committed;
  readonly workload: Workload;
  readonly table: Record<string, string | number>[];
}

interface Outcome {
  readonly violations: readonly string[];
  readonly inFlight: number;
}

async function killRounds(bundle: string, roundCount: number): Promise<Outcome> {
  return withFolder(async (data) => {
    const workload = { random, topic, queues, withIdShare: 0.4, hotShare: 0.2 };
    const ledger = new Ledger();
    const committed = new Committed("readers", topic);
    const run: Run = { bundle, data, ledger, committed, workload, table: [] };
    const violations: string[] = [];
    let inFlight = 0;
    for (let round = 1; round <= roundCount && violations.length === 0; round++) {
      const row = await killRound(run, round);
      inFlight += row.inFlight;
      violations.push(...row.violations);
    }
    printTable(run.table);
    const errors = [...ledger.errors].map(([code, count]) => `${count} ${code}`).join(", ");
    say(`  errors told to producers: ${errors || "none"}; offsets committed ${committed.commits}`);
    printViolations(violations);
    return { violations, inFlight };
  });
}

/** Load, kill, restart, audit, retry, audit, orderly restart, audit. */
async function killRound(run: Run, round: number): Promise<Outcome> {
  const { ledger, committed } = run;
  const first = await ServerProcess.start(run);
  await expectJson(first.url, "PUT", `/v1/topics/${topic}`, { queues });
  const inFlight = await loadUntilKilled(run, first);

  const second = await ServerProcess.start(run);
  const before = await auditAll(run, second.url);
  const retried = await retryOpen(run, second.url);
  const after = await auditAll(run, second.url);
  const { code } = await second.stop();
  const exit = code === 0 ? [] : [`an orderly stop ended with ${code}: ${second.errors}`];
  run.table.push({
    round,
    attempts: ledger.attempts,
    "in flight": inFlight,
    retried,
    acknowledged: ledger.count("acknowledged"),
    refused: ledger.count("refused"),
    open: after.open,
    "of them there": after.openFound,
    "in the log": after.messages,
    "early ends": before.earlyEnds + after.earlyEnds,
  });
  const violations = [...before.violations, ...after.violations, ...exit];
  return { inFlight, violations: [...violations, ...ledger.violations, ...committed.violations] };
}

/** Answers how many sends were without an answer when the signal was sent. */
async function loadUntilKilled(run: Run, server: ServerProcess): Promise<number> {
  const loads = [
    ...Array.from({ length: producers }, (_, i) => produce(run, server, `p${i}`)),
    ...Array.from({ length: committers }, () => commitOffsets(run, server)),
  ];
  const ms = loadMs.min + random() * (loadMs.max - loadMs.min);
  await new Promise((resolve) => setTimeout(resolve, ms));
  const { inFlight } = run.ledger;
  await server.kill();
  await Promise.all(loads);
  return inFlight;
}

async function produce({ ledger, workload }: Run, { url }: ServerProcess, name: string) {
  const agent = oneConnection();
  while (await attempt(agent, url, ledger, newSending(workload, ledger, name)));
  agent.destroy();
}

async function commitOffsets({ committed }: Run, { url }: ServerProcess): Promise<void> {
  const agent = oneConnection();
  while (await committed.commit(agent, url, random, Math.floor(random() * queues)));
  agent.destroy();
}

/** Two at once retry what is undecided, and now and then what was acknowledged: all have to agree. */
async function retryOpen({ ledger }: Run, url: string): Promise<number> {
  const agents = Array.from({ length: producers }, oneConnection);
  const known = ledger.sendings.filter(
    ({ retriable, issuedAt }) => retriable && performance.now() - issuedAt < 60_000,
  );
  const again = known.filter(() => random() < 50 / known.length);
  const open = ledger.open();
  const work = [...open.flatMap((sending) => [sending, sending]), ...again];
  await Promise.all(
    agents.map(async (agent, worker) => {
      for (let i = worker; i < work.length; i += agents.length) {
        const sending = work[i];
        if (sending === undefined) break;
        await attempt(agent, url, ledger, sending);
        await settle(agent, url, ledger, sending);
      }
      agent.destroy();
    }),
  );
  return open.length;
}

async function auditAll({ ledger, committed }: Run, url: string): Promise<Audit> {
  await committed.audit(url);
  return audit({ url, topic, queues }, ledger);
}

async function real(): Promise<boolean> {
  say("the server as it is");
  const plain = await killRounds(await buildServer("kill-plain"), rounds);
  say("over a store that fails");
  const faultyRounds = Math.max(1, Math.round(rounds / 5));
  const faulty = await killRounds(
    await buildServer("kill-faulty", faultyStore(seed)),
    faultyRounds,
  );
  const demanded = inFlightPerKill * rounds;
  return [
    judge("nothing is lost, doubled, misplaced or out of order", plain.violations.length === 0),
    judge("nor over a store that fails", faulty.violations.length === 0),
    judge(
      `${plain.inFlight} requests were in flight at ${rounds} kills, ${demanded} demanded`,
      plain.inFlight >= demanded,
    ),
  ].every(Boolean);
}

async function control(): Promise<boolean> {
  say("control: acknowledging before the write, over a store that fails");
  const patches = [...faultyStore(seed), ...acknowledgeBeforeWrite];
  const { violations } = await killRounds(await buildServer("kill-control", patches), 5);
  return judge(
    "the audit notices",
    violations.some((text) => text.includes("not there")),
  );
}

const passed = controlOnly || (await real());
const caught = await control();
finish(passed && caught);
