// Switches known bugs on, one at a time, and demands that the simulator's auditor catches each within 100 seeds that
// are clean without it. `--only TEXT` takes the mutants whose name contains it.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Mutant } from "../test/simulator/mutants/mutant.ts";
import { mutants } from "../test/simulator/mutants.ts";
import { bundle } from "./bundle.mjs";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "100" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
  },
});

interface Verdict {
  readonly name: string;
  readonly seed: string | undefined;
  readonly invariant: string | undefined;
}

const folder = await mkdtemp(join(tmpdir(), "tasso-mutants-"));
const chosen = mutants.filter(({ name }) => name.includes(values.only));
const clean = await judge({ name: "none", patches: [] });
const verdicts: Verdict[] = [];
// Two at a time, for two cores.
const waiting = [...chosen];
await Promise.all(
  [1, 2].map(async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      verdicts.push(await judge(next));
  }),
);
await rm(folder, { recursive: true });

print(`${"mutant".padEnd(62)} ${"seed".padEnd(6)} caught by`);
for (const { name } of chosen) {
  const { seed, invariant } = verdicts.find((verdict) => verdict.name === name) as Verdict;
  print(`${name.padEnd(62)} ${(seed ?? "-").padEnd(6)} ${invariant ?? "NOT CAUGHT"}`);
}
print(
  `without a mutant, seeds ${values.seed} to ${Number(values.seed) + Number(values.seeds) - 1}: ${clean.seed === undefined ? "clean" : `seed ${clean.seed} violates "${clean.invariant}"`}`,
);
process.exitCode =
  clean.seed === undefined && verdicts.every(({ seed }) => seed !== undefined) ? 0 : 1;

async function judge({ name, patches }: Mutant): Promise<Verdict> {
  const outfile = join(folder, `${name.replaceAll(/\W+/g, "-")}.mjs`);
  await bundle({ entry: "test/simulator/main.ts", outfile, patches });
  const { code, text } = await run(outfile);
  const found = /^seed (\d+): .*\n {2}([^:]+): /m.exec(text);
  if (found === null && code !== 0) throw new Error(`${name}: the simulator failed\n${text}`);
  return { name, seed: found?.[1], invariant: found?.[2] };
}

function run(file: string): Promise<{ code: number | null; text: string }> {
  return new Promise((resolve) => {
    const child = spawn("node", [
      file,
      "--seed",
      values.seed,
      "--seeds",
      values.seeds,
      "--stop-at-first",
      "--auditor-only",
    ]);
    let text = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => (text += chunk));
    child.on("close", (code) => resolve({ code, text }));
  });
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
