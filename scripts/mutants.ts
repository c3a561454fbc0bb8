// Switches known bugs on, one at a time, and demands that the simulator's auditor catches each within 300 seeds that
// are clean without it. `--only TEXT` takes the mutants whose name contains it. `--likely` begins each with the seed that
// caught it when `--remember` was said last, and goes through the others only if that one does not.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Mutant } from "../test/simulator/mutants/mutant.ts";
import { mutants } from "../test/simulator/mutants.ts";
import { bundle } from "./bundle.mjs";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "300" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    likely: { type: "boolean", default: false },
    remember: { type: "boolean", default: false },
    /** A run that lasts longer is ended: some bugs make the simulator go round for ever. */
    minutes: { type: "string", default: "10" },
  },
});
const rememberedIn = "test/simulator/mutants/caught-at.json";

interface Verdict {
  readonly name: string;
  readonly seed?: string | undefined;
  readonly invariant?: string | undefined;
  /** Why nobody knows whether it is caught. */
  readonly failure?: string | undefined;
}

const folder = await mkdtemp(join(tmpdir(), "tasso-mutants-"));
const chosen = mutants.filter(({ name }) => name.includes(values.only));
const caughtAt = JSON.parse(await readFile(rememberedIn, "utf8")) as Record<string, string>;
const none: Mutant = { name: "none", patches: [] };
const verdicts = new Map<string, Verdict>();
// Two at a time, for two cores.
const waiting = [none, ...chosen];
await Promise.all(
  [1, 2].map(async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      verdicts.set(next.name, await judge(next));
  }),
);
await rm(folder, { recursive: true });

print(`${"mutant".padEnd(62)} ${"seed".padEnd(6)} caught by`);
for (const { name } of chosen) {
  const { seed = "-", invariant, failure } = verdicts.get(name) ?? {};
  print(`${name.padEnd(62)} ${seed.padEnd(6)} ${invariant ?? `NOT CAUGHT ${failure ?? ""}`}`);
}
const clean = verdicts.get(none.name);
print(
  `without a mutant, seeds ${values.seed} to ${Number(values.seed) + Number(values.seeds) - 1}: ${clean?.failure ?? (clean?.seed === undefined ? "clean" : `seed ${clean.seed} violates "${clean.invariant}"`)}`,
);
const isClean = clean?.seed === undefined && clean?.failure === undefined;
const areCaught = chosen.every(({ name }) => verdicts.get(name)?.seed !== undefined);
process.exitCode = isClean && areCaught ? 0 : 1;
if (values.remember && areCaught) {
  const seeds = chosen.map(({ name }) => [name, verdicts.get(name)?.seed]);
  const remembered = values.only === "" ? {} : caughtAt;
  const text = JSON.stringify({ ...remembered, ...Object.fromEntries(seeds) }, null, 2);
  await writeFile(rememberedIn, `${text}\n`);
}

async function judge({ name, patches }: Mutant): Promise<Verdict> {
  const outfile = join(folder, `${name.replaceAll(/\W+/g, "-")}.mjs`);
  await bundle({ entry: "test/simulator/main.ts", outfile, patches });
  const likely = values.likely ? caughtAt[name] : undefined;
  const verdict = likely === undefined ? undefined : await run(name, outfile, likely, "1");
  return verdict?.seed === undefined ? run(name, outfile, values.seed, values.seeds) : verdict;
}

function run(name: string, file: string, seed: string, seeds: string): Promise<Verdict> {
  return new Promise((resolve) => {
    const child = spawn(
      "node",
      [file, ...["--seed", seed, "--seeds", seeds], "--stop-at-first", "--auditor-only"],
      { timeout: Number(values.minutes) * 60_000, killSignal: "SIGKILL" },
    );
    let text = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (text += chunk));
    child.on("close", (code, signal) => {
      const found = /^seed (\d+): .*\n {2}([^:]+): /m.exec(text);
      const failed = found === null && code !== 0;
      const ended =
        signal === "SIGKILL"
          ? `as it did not end within ${values.minutes} minutes`
          : `as it failed: ${text}`;
      const failure = failed ? ended : undefined;
      resolve({ name, seed: found?.[1], invariant: found?.[2], failure });
    });
  });
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
