/*
 * Shows that the contract suites would notice: for each law of each adapter it takes away the line
 * that keeps the law and demands that a test which carries the law's name goes red.
 *
 *   node --import tsx scripts/laws-red.ts [adapter ...]
 */
import { spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Mutation, mutations } from "./laws-red-mutations.ts";

interface TestReport {
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly title: string; readonly status: string }[];
  }[];
}

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const workers = 2;
const runMsMax = 60_000;

const chosen = process.argv.slice(2);
const waiting = mutations.filter(({ adapter }) => chosen.length === 0 || chosen.includes(adapter));
let green = 0;
await Promise.all(Array.from({ length: workers }, work));
say(green === 0 ? "every law went red" : `${green} stayed green`);
process.exitCode = green === 0 ? 0 : 1;

async function work(): Promise<void> {
  const copy = await copyProject();
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const red = await tryMutation(copy, next);
    if (red === undefined) green++;
    say(`${next.adapter} | ${next.law} | ${next.what} | ${red ?? "STAYED GREEN"}`);
  }
  await rm(copy, { recursive: true });
}

async function copyProject(): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), "tasso-laws-"));
  for (const path of ["src/adapters", "src/broker", "test/contract", "test/adapters"]) {
    await cp(join(root, path), join(copy, path), { recursive: true });
  }
  await cp(join(root, "package.json"), join(copy, "package.json"));
  await symlink(join(root, "node_modules"), join(copy, "node_modules"));
  return copy;
}

/** The name of a test of that law that went red. */
async function tryMutation(copy: string, mutation: Mutation): Promise<string | undefined> {
  const { file, find, replace, law, test } = mutation;
  const path = join(copy, file);
  const original = await readFile(path, "utf8");
  if (original.split(find).length !== 2) throw new Error(`${file} has not once: ${find}`);
  await writeFile(
    path,
    original.replace(find, () => replace),
  );
  const titles = await failedTests(copy, test);
  await writeFile(path, original);
  return titles.find((title) => title.startsWith(`${law}:`));
}

async function failedTests(copy: string, test: string): Promise<readonly string[]> {
  const output = join(copy, "report.json");
  await rm(output, { force: true });
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const args = [vitest, "run", test, "--reporter=json", `--outputFile=${output}`];
  await runToEnd([...args, "--testTimeout=3000"], copy);
  const report = await readFile(output, "utf8").catch(() => '{"testResults":[]}');
  const { testResults } = JSON.parse(report) as TestReport;
  const results = testResults.flatMap(({ assertionResults }) => assertionResults);
  return results.flatMap(({ status, title }) => (status === "failed" ? [title] : []));
}

function runToEnd(args: readonly string[], cwd: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd, stdio: "ignore", timeout: runMsMax });
    child.on("error", reject);
    child.on("exit", () => resolve());
  });
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
