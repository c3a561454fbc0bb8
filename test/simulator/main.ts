import { parseArgs } from "node:util";
import { shrink } from "./shrink.ts";
import { noBugShows, type RunOptions, type RunReport, simulate } from "./simulation.ts";

/** `npm run sim`: one run or many, with everything needed to repeat a failing one. */
const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Math.floor(Math.random() * 1e9)) },
    seeds: { type: "string", default: "1" },
    steps: { type: "string", default: "2000" },
    shrink: { type: "boolean", default: false },
    history: { type: "boolean", default: false },
    message: { type: "string" },
    /** Options as `--shrink` prints them, to play that run again. */
    replay: { type: "string" },
    "stop-at-first": { type: "boolean", default: false },
    /** Assertions inside the broker do not count. */
    "auditor-only": { type: "boolean", default: false },
    minutes: { type: "string" },
  },
});

const first = Number(values.seed);
const steps = Number(values.steps);
const until =
  values.minutes === undefined ? undefined : Date.now() + Number(values.minutes) * 60_000;
const totals = new Map<string, number>();
const startedAt = performance.now();
const failing: RunReport[] = [];
let runs = 0;

while (until === undefined ? runs < Number(values.seeds) : Date.now() < until) {
  const seed = first + runs++;
  const keepHistory = values.history || values.message !== undefined;
  const played: RunOptions =
    values.replay === undefined ? { seed, steps } : (JSON.parse(values.replay) as RunOptions);
  const { violations, ...rest } = await simulate({ ...played, keepHistory });
  const counted = violations.filter(
    ({ invariant }) => !(values["auditor-only"] && invariant === noBugShows),
  );
  const report: RunReport = { ...rest, violations: counted };
  for (const [what, count] of report.counts) totals.set(what, (totals.get(what) ?? 0) + count);
  totals.set("steps", (totals.get("steps") ?? 0) + report.steps);
  totals.set(
    "messages read at the end",
    (totals.get("messages read at the end") ?? 0) + report.messages,
  );
  if (Number(values.seeds) === 1 && until === undefined) print("options", report.options);
  if (values.history) print(report.history.join("\n"));
  if (values.message !== undefined) print(historyOf(report, values.message).join("\n"));
  if (report.violations.length === 0) continue;
  failing.push(report);
  print(`seed ${report.options.seed}: ${report.violations.length} violations`);
  for (const { invariant, what } of report.violations.slice(0, 5)) print(`  ${invariant}: ${what}`);
  if (values["stop-at-first"]) break;
}

const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
for (const [what, count] of [...totals].sort(([a], [b]) => (a < b ? -1 : 1)))
  print(`${what.padEnd(32)} ${count}`);
print(
  `${runs} seeds from ${first}, ${steps} steps each: ${failing.length} with violations, ${seconds} s`,
);
const [worst] = failing;
if (values.shrink && worst !== undefined)
  print(`smallest failing run: npm run sim -- --replay '${JSON.stringify(await shrink(worst))}'`);
process.exitCode = failing.length > 0 ? 1 : 0;

/** The lines that tell of a message: those that name it, and those of the row where it lies. */
function historyOf({ history }: RunReport, uid: string): string[] {
  return history.filter((line) => line.includes(uid));
}

function print(...what: unknown[]): void {
  process.stdout.write(
    `${what.map((each) => (typeof each === "string" ? each : JSON.stringify(each, null, 2))).join(" ")}\n`,
  );
}
