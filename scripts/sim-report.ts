// What the simulator does in 1,000 runs of 2,500 steps, and whether that is enough: every kind of fault at least 1,000
// times, every operation and every kind of work on the log at least 10,000 times, what becomes of delayed messages at
// least 1,000 times, at least 90 % of the lines of src/broker, and no violation.
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { FaultRates } from "../test/simulator/fault-rates.ts";
import { type RunReport, simulate } from "../test/simulator/simulation.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string", default: "1000" },
    steps: { type: "string", default: "2500" },
  },
});
const [seed, seeds, steps] = [Number(values.seed), Number(values.seeds), Number(values.steps)];
const faultsMin = 1_000;
const operationsMin = 10_000;
const coverageMin = 90;

/** What each rate brings about, by the names under which it is counted. */
const faultsOf = {
  unavailable: ["unavailable"],
  lostRequest: ["lost request"],
  lostReply: ["lost reply"],
  lateEffect: ["late effect"],
  duplicate: ["duplicate"],
  slow: ["slow"],
  crash: ["crash", "crash after effect", "crash after blob", "client crash"],
  stall: ["stall", "client stall"],
  longStall: ["stall for hours"],
  // Counted with the one before.
  longStallAtTail: [],
  lostCall: ["request lost", "reply lost"],
  lateCall: ["request late", "request twice"],
  blobLost: ["blob lost on its way", "reply of blob lost"],
  lateBlob: ["late blob"],
  putAfterDeadline: ["put after its deadline"],
  alarmLost: ["alarm lost"],
  alarmTwice: ["alarm twice"],
  alarmLate: ["alarm late"],
  clockErrorMs: ["broker with a wrong clock"],
  expiredRemoved: ["expired items linger"],
} satisfies Record<keyof FaultRates, string[]>;

/** What comes over a whole run, at no rate. */
const spells = ["fault all asleep", "quiet spell"];

/** What sweeps do to the log, and readers and senders in their place, and to what waits; a lost segment is a fault. */
const deeds = [
  "segment sealed",
  "segment archived",
  "segments trimmed",
  "rows dropped",
  "blob dropped",
  "large batch appended",
  "large batch read",
  "large object dropped",
];

/** Each takes minutes of simulated time and a message of its own, so there are fewer. */
const ofDelayed = [
  "log timer waiting",
  "log timer delivered",
  "log timer recalled",
  "log minute given up",
  "operation ring",
];

/** Of those who forward, who are in two of five runs. */
const ofForwards = ["operation forward", "operation sendWithRows"];

const operations = [
  "ensureTopic",
  "changeTopic",
  "listTopics",
  "topicRange",
  "deleteTopic",
  "seal",
  "sweep",
  "send",
  "sendBatch",
  "wrong send",
  "wrong batch",
  "pull",
  "offsetAt",
  "search",
  "commitOffsets",
  "getOffsets",
  "lag",
  "sendDelayed",
  "recall",
  "listDelayed",
];

const totals = new Map<string, number>();
const failing: number[] = [];
for (let run = 0; run < seeds; run++) note(await simulate({ seed: seed + run, steps }));

const covered = await lineCoverage();
const demands: (readonly [what: string, found: number, least: number])[] = [
  ...Object.values(faultsOf)
    .flat()
    .map((fault) => [`fault ${fault}`, totals.get(`fault ${fault}`) ?? 0, faultsMin] as const),
  ...[...spells, ...ofDelayed, ...ofForwards, "log segment lost", "log timer dropped"].map(
    (what) => [what, totals.get(what) ?? 0, faultsMin] as const,
  ),
  ...deeds.map((deed) => [`log ${deed}`, totals.get(`log ${deed}`) ?? 0, operationsMin] as const),
  ...operations.map(
    (name) => [`operation ${name}`, totals.get(`operation ${name}`) ?? 0, operationsMin] as const,
  ),
  ["% of the lines of src/broker", covered, coverageMin],
];
print(`${"".padEnd(34)} ${"found".padStart(9)} ${"least".padStart(9)}`);
for (const [what, found, least] of demands) {
  const verdict = found < least ? "  TOO FEW" : "";
  print(`${what.padEnd(34)} ${String(found).padStart(9)} ${String(least).padStart(9)}${verdict}`);
}
for (const name of uncounted()) print(`not in the lists of this report: ${name}`);
print(`steps ${totals.get("steps")}, messages read at the end ${totals.get("messages")}`);
print(
  `${seeds} seeds from ${seed}, ${steps} steps each: ${failing.length} with violations ${failing.join(" ")}`,
);
const enough = demands.every(([, found, least]) => found >= least);
process.exitCode = enough && failing.length === 0 && uncounted().length === 0 ? 0 : 1;

function note({ counts, options, violations, steps: taken, messages }: RunReport): void {
  for (const [what, count] of counts) add(what, count);
  add("steps", taken);
  add("messages", messages);
  if (options.rates.clockErrorMs > 0)
    add("fault broker with a wrong clock", options.scenario.brokers);
  if (violations.length > 0) failing.push(options.seed);
}

function add(what: string, count: number): void {
  totals.set(what, (totals.get(what) ?? 0) + count);
}

/** What the simulator counts and nothing is demanded of: a new fault or operation belongs into the lists. */
function uncounted(): string[] {
  const listed = new Set(demands.map(([what]) => what));
  return [...totals.keys()].filter(
    (what) => /^(fault|operation|log) /.test(what) && !listed.has(what),
  );
}

/** Lines of src/broker that 60 fresh seeds run through, in per cent. */
async function lineCoverage(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "tasso-coverage-"));
  try {
    const { status, stdout } = spawnSync(
      "node",
      [
        "node_modules/vitest/vitest.mjs",
        ...["run", "test/simulator", "-t", "fresh seeds", "--coverage"],
        ...["--coverage.reporter=json-summary", `--coverage.reportsDirectory=${folder}`],
      ],
      { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] },
    );
    if (status !== 0) throw new Error(`the simulator's test failed\n${stdout}`);
    const summary: unknown = JSON.parse(
      await readFile(join(folder, "coverage-summary.json"), "utf8"),
    );
    return (summary as { total: { lines: { pct: number } } }).total.lines.pct;
  } finally {
    await rm(folder, { recursive: true });
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
