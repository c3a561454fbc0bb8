/*
 * Kills the local server with SIGKILL while it archives and trims, again and again, and audits what it kept.
 *
 *   node --import tsx scripts/archive-kills.ts [--seed N] [--rounds 50] [--control]
 *
 * Segments are small and everything about them is due within seconds. Kills come at random, or when a blob begins to be
 * written, has just been put or deleted; what the folder shows after a kill tells what was under way. One topic is kept
 * for long, so that everything archived of it is read to the end; the other one is trimmed all the time. At the end,
 * when all work is done, no blob is without an owner and nothing else is left behind. Controls: trimming that forgets
 * blobs, a directory that sends readers to a blob before it is there, and half written blobs that nobody removes.
 */
import { existsSync, watch } from "node:fs";
import { join } from "node:path";
import {
  type ArchiveState,
  archiveStateOf,
  blobFolders,
  leftBehind,
  queueFolders,
  underWay,
} from "./audit/archive-state.ts";
import { audit } from "./audit/audit.ts";
import { readCommandLine, say } from "./audit/command-line.ts";
import { expectJson, oneConnection } from "./audit/http.ts";
import { Ledger } from "./audit/ledger.ts";
import { attempt, settle } from "./audit/producer.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";
import { newSending, type Workload } from "./audit/workload.ts";

const queues = 3;
const producersPerTopic = 4;
/** Load lasts so long at least and at most before the kill (ms), or before a moment to kill at is waited for. */
const loadMs = { min: 200, max: 1_200 };
/** Such a moment comes within this time, or the kill comes without it (ms). */
const aimMsMax = 1_500;
/** A producer rests for so long at most between two sends (ms). */
const pauseMsMax = 8;
/** A kill comes so long after the moment at most (ms). */
const lateMsMax = 3;
const doneMsMax = 30_000;
const briefRetentionMs = 3_000;
const leftoverMs = 1_500;
/** The kept topic is long; it is read whole this often, and at the end. */
const keptAuditedEvery = 10;
const underWayShareMin = 0.5;
const manyRounds = 50;
const controlRounds = 4;

const rowsKeptMs = 3_000;
/** Rows in which a retry looks for its first attempt are there only as long as they are kept, and it looks back a second more. */
const retriedWithinMs = rowsKeptMs - 1_500;

const options = {
  "--segment-bytes": 16_384,
  "--segment-age-ms": 1_000,
  "--archive-min-bytes": 4_096,
  "--rows-kept-ms": rowsKeptMs,
  "--stray-blob-ms": 1_000,
};

const limitsFile = "src/broker/limits.ts";

/**
 * Nobody waits for a minute, or an hour, in a test. How long a directory entry or a tail may be remembered, and a commit
 * may take, has to become shorter along with how long rows are kept. Segments are small, so their rows go one by one.
 */
const shortTimes: readonly Patch[] = [
  { file: limitsFile, find: "retentionMsMin: minute,", replace: "retentionMsMin: second," },
  { file: limitsFile, find: "appendDeadlineMs: minute,", replace: "appendDeadlineMs: 1_500," },
  {
    file: limitsFile,
    find: "directoryAgeMsMax: 20 * second,",
    replace: "directoryAgeMsMax: 400,",
  },
  {
    file: "src/broker/log/queue-appender.ts",
    find: "const tailAgeMsMax = 10_000;",
    replace: "const tailAgeMsMax = 400;",
  },
  {
    file: "src/broker/log/segment-work.ts",
    find: `limit: storeLimits.commitWritesMax,
    bytesMax: limits.pullBytesMax,
  });
  if (page`,
    replace: "limit: 1 }); if (page",
  },
  {
    file: "src/adapters/local/file-blobs.ts",
    find: "const leftoverMs = 60 * 60 * 1_000;",
    replace: `const leftoverMs = ${leftoverMs};`,
  },
];

const { rounds, controlOnly, random } = readCommandLine("archive-kills", { rounds: 50 });

interface AuditedTopic {
  readonly workload: Workload;
  readonly ledger: Ledger;
  readonly retentionMs?: number;
}

interface Run {
  readonly bundle: string;
  readonly data: string;
  readonly options: readonly string[];
  readonly kept: AuditedTopic;
  readonly brief: AuditedTopic;
  readonly table: Record<string, string | number>[];
}

interface Outcome {
  readonly violations: readonly string[];
  readonly table: Run["table"];
  readonly seconds: number;
}

interface KillOptions {
  readonly name: string;
  readonly patches: readonly Patch[];
  readonly roundCount: number;
  /** What the kills are aimed at, as the dice fall. */
  readonly aims: readonly Moment[];
}

async function archiveKills({ name, patches, roundCount, aims }: KillOptions): Promise<Outcome> {
  const bundle = await buildServer(`archive-${name}`, [...shortTimes, ...patches]);
  return withFolder(async (data) => {
    const startedAt = performance.now();
    const run: Run = {
      bundle,
      data,
      options: Object.entries(options).flatMap(([option, value]) => [option, String(value)]),
      kept: auditedTopic("kept"),
      brief: auditedTopic("brief", briefRetentionMs),
      table: [],
    };
    const violations: string[] = [];
    for (let round = 1; round <= roundCount && violations.length === 0; round++) {
      const moment = aims[Math.floor(random() * aims.length)];
      if (moment === "a blob goes" && round > 1) await killEarly(run, round);
      else violations.push(...(await killRound(run, round, moment ?? "at random")));
    }
    if (violations.length === 0) violations.push(...(await atTheEnd(run)));
    return {
      violations,
      table: run.table,
      seconds: (performance.now() - startedAt) / 1_000,
    };
  });
}

function tell({ violations, table, seconds }: Outcome): void {
  printTable(table);
  const kinds = Object.values(halfDone).map((column) => `${column} ${killsThatMet(table, column)}`);
  say(`  ${seconds.toFixed(0)} s; kills that met something half done: ${kinds.join(", ")}`);
  printViolations(violations);
}

function killsThatMet(table: Run["table"], column: string): number {
  return table.filter((row) => Number(row[column]) > 0).length;
}

function auditedTopic(topic: string, retentionMs?: number): AuditedTopic {
  const workload = { random, topic, queues, withIdShare: 0.5, hotShare: 0.3 };
  const ledger = new Ledger();
  return retentionMs === undefined ? { workload, ledger } : { workload, ledger, retentionMs };
}

/** Start, retries, audit, load, kill. */
async function killRound(run: Run, round: number, moment: Moment): Promise<readonly string[]> {
  const { kept, brief } = run;
  const startedAt = Date.now();
  const server = await ServerProcess.start(run);
  const violations: string[] = [];
  for (const topic of [kept, brief]) {
    const { workload, retentionMs } = topic;
    const settings = { queues, ...(retentionMs === undefined ? {} : { retentionMs }) };
    await expectJson(server.url, "PUT", `/v1/topics/${workload.topic}`, settings);
    await retryOpen(topic, server.url);
  }
  for (const topic of round % keptAuditedEvery === 0 ? [brief, kept] : [brief])
    violations.push(...(await violationsOf(topic, server.url)));
  const loads = [kept, brief].flatMap((topic) =>
    Array.from({ length: producersPerTopic }, (_, i) => produce(topic, server, `p${i}`)),
  );
  await pause(loadMs.min + random() * (loadMs.max - loadMs.min));
  const came = moment === "at random" || (await comes(moment, run.data));
  await pause(random() * lateMsMax);
  await server.kill();
  await Promise.all(loads);
  run.table.push(await rowOf(run, { round, moment: came ? moment : "at random", startedAt }));
  return violations;
}

/** A server that starts finds much to trim. It is killed before it takes requests, when the first blob goes. */
async function killEarly(run: Run, round: number): Promise<void> {
  const moment = "a blob goes";
  await pause(random() * briefRetentionMs);
  const startedAt = Date.now();
  const goes = comes(moment, run.data);
  const server = ServerProcess.begin(run);
  const came = await goes;
  await server.kill();
  run.table.push(await rowOf(run, { round, moment: came ? moment : "at random", startedAt }));
}

/** The columns of the table that tell of what was half done. */
const halfDone = {
  blobHalfWritten: "blob half written",
  blobBeforeEntry: "blob before its entry",
  rowsHalfDropped: "rows half dropped",
  trimmedNotDeleted: "trimmed, not deleted",
} as const;

async function rowOf(
  { kept, brief, data }: Run,
  { round, moment, startedAt }: { round: number; moment: Moment; startedAt: number },
): Promise<Run["table"][number]> {
  const state = await archiveStateOf(data);
  const { entries, work, at } = state.look;
  const found = underWay(state, startedAt);
  const columns = Object.entries(halfDone).map(([kind, column]) => [
    column,
    found[kind as keyof typeof halfDone],
  ]);
  return {
    round,
    "killed when": moment,
    acknowledged: kept.ledger.count("acknowledged") + brief.ledger.count("acknowledged"),
    archived: entries.filter(({ entry }) => entry.segment.state === "archived").length,
    "work due": work.filter(({ dueAt }) => dueAt <= at).length,
    ...Object.fromEntries(columns),
    "under way": Object.values(found).reduce((sum, count) => sum + count, 0),
  };
}

/** The moments that a kill is aimed at, as a watcher of the folders of blobs sees them. */
const moments = ["at random", "a blob begins", "a blob is put", "a blob goes"] as const;
type Moment = (typeof moments)[number];

/** In the folder of what is being written a name comes when a blob begins, and goes when it was put. */
async function comes(moment: Exclude<Moment, "at random">, data: string): Promise<boolean> {
  const folders =
    moment === "a blob goes" ? await queueFolders(data) : [blobFolders(data).temporary];
  const wanted = moment === "a blob begins";
  return new Promise((resolve) => {
    const watchers = folders.map((folder) =>
      watch(folder, (_, name) => {
        if (name !== null && existsSync(join(folder, name)) === wanted) end(true);
      }),
    );
    const timer = setTimeout(() => end(false), aimMsMax);
    const end = (came: boolean) => {
      clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
      resolve(came);
    };
  });
}

async function produce({ ledger, workload }: AuditedTopic, { url }: ServerProcess, name: string) {
  const agent = oneConnection();
  while (await attempt(agent, url, ledger, newSending(workload, ledger, name)))
    await pause(random() * pauseMsMax);
  agent.destroy();
}

/** What was not decided when the server died is sent again under the same id, by two at once. */
async function retryOpen({ ledger }: AuditedTopic, url: string): Promise<void> {
  const open = ledger
    .open()
    .filter(({ issuedAt }) => performance.now() - issuedAt < retriedWithinMs);
  const retry = async () => {
    const agent = oneConnection();
    for (const sending of open) await settle(agent, url, ledger, sending);
    agent.destroy();
  };
  await Promise.all([retry(), retry()]);
}

async function violationsOf(
  { workload: { topic }, ledger, retentionMs }: AuditedTopic,
  url: string,
): Promise<readonly string[]> {
  const range = { url, topic, queues, ...(retentionMs === undefined ? {} : { retentionMs }) };
  const { violations } = await audit(range, ledger);
  return [...violations, ...ledger.violations].map((text) => `${topic}: ${text}`);
}

/** Restart, and wait until all is done that will ever be due of what was killed. */
async function atTheEnd(run: Run): Promise<readonly string[]> {
  const { kept, brief, data } = run;
  await pause(leftoverMs);
  const startedAt = Date.now();
  const server = await ServerProcess.start(run);
  for (const topic of [kept, brief]) await retryOpen(topic, server.url);
  const violations = [...(await violationsOf(brief, server.url))];
  const state = await whenDone(data);
  violations.push(...(await violationsOf(brief, server.url)));
  violations.push(...(await violationsOf(kept, server.url)));
  violations.push(...leftBehind(state));
  for (const { name, writtenAt } of state.temporary) {
    const age = startedAt - writtenAt;
    if (age > leftoverMs) violations.push(`temporary file ${name} was ${age} ms old at the start`);
  }
  const due = state.look.work.filter(({ dueAt }) => dueAt < state.look.at + doneMsMax);
  if (due.length > 0)
    violations.push(`work is left: ${due.map(({ work }) => work.kind).join(", ")}`);
  const { code } = await server.stop();
  if (code !== 0) violations.push(`an orderly stop ended with ${code}: ${server.errors}`);
  return violations;
}

/** When nothing is due but what is far ahead, or when that does not come true. */
async function whenDone(data: string): Promise<ArchiveState> {
  const until = Date.now() + doneMsMax;
  for (;;) {
    const state = await archiveStateOf(data);
    const { at, work } = state.look;
    if (work.every(({ dueAt }) => dueAt > at + doneMsMax) || Date.now() > until) return state;
    await pause(200);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function real(): Promise<boolean> {
  say("the server as it is, but that its times are short");
  const outcome = await archiveKills({
    name: "plain",
    patches: [],
    roundCount: rounds,
    aims: moments,
  });
  tell(outcome);
  const met = killsThatMet(outcome.table, "under way");
  const demanded = Math.round(rounds * underWayShareMin);
  const kindsMet = Object.values(halfDone).filter(
    (column) => killsThatMet(outcome.table, column) > 0,
  ).length;
  const kindsDemanded = rounds < manyRounds ? 1 : Object.keys(halfDone).length;
  return [
    judge(
      "nothing is lost before its retention, doubled or unreadable, and nothing is left behind",
      outcome.violations.length === 0,
    ),
    judge(
      `${met} of ${rounds} kills met something half done, of ${kindsMet} kinds; ${demanded} demanded, of ${kindsDemanded}`,
      met >= demanded && kindsMet >= kindsDemanded,
    ),
  ].every(Boolean);
}

const controls = [
  {
    name: "forgotten",
    bug: "trimming forgets the blobs",
    patches: [1, 2].map((round) => ({
      file: "src/broker/log/segment-changes.ts",
      find: `kind: "drop-blob", round: ${round}, ...id`,
      replace: `kind: "drop-rows", ...id`,
    })),
    aims: ["at random"],
    sign: "a blob without an owner",
  },
  {
    name: "early",
    bug: "the directory sends readers to a blob before it is there",
    patches: [
      {
        file: "src/broker/log/segment-work.ts",
        find: "const outcome = await io.blobs.put(key, bytes);",
        replace: `void io.clock.sleep(200).then(() => io.blobs.put(key, bytes)).catch(() => {});
          const outcome: string = "stored";`,
      },
    ],
    aims: ["a blob begins", "at random"],
    sign: "failed its check",
  },
  {
    name: "leftovers",
    bug: "half written blobs stay",
    patches: [
      {
        file: "src/adapters/local/file-blobs.ts",
        find: "await removeLeftovers(blobs.#temporary, clock.now() - leftoverMs);",
        replace: "void [removeLeftovers, leftoverMs, clock];",
      },
    ],
    aims: ["a blob begins"],
    sign: "temporary file",
  },
] as const;

/** All at once, for most of their time they wait. */
async function caughtAll(): Promise<boolean> {
  const outcomes = await Promise.all(
    controls.map((control) => archiveKills({ ...control, roundCount: controlRounds })),
  );
  return controls
    .map(({ bug, sign }, i) => {
      const outcome = outcomes[i] as Outcome;
      say(`control: ${bug}`);
      tell(outcome);
      return judge(
        "is noticed",
        outcome.violations.some((text) => text.includes(sign)),
      );
    })
    .every(Boolean);
}

const passed = controlOnly || (await real());
const caught = await caughtAll();
finish(passed && caught);
