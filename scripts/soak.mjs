// `npm run soak -- --minutes 60`: fresh seeds of the simulator for so long, on all cores, then every audit in full.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { installMissing } from "./install.mjs";

const { values } = parseArgs({ options: { minutes: { type: "string", default: "60" } } });
if (!(Number(values.minutes) > 0))
  throw new Error(`--minutes must be a number above 0, not ${values.minutes}`);

installMissing({ dev: true });
const { bundle } = await import("./bundle.mjs");
const root = fileURLToPath(new URL("..", import.meta.url));
const simulator = fileURLToPath(new URL("../node_modules/.cache/tasso/soak.mjs", import.meta.url));
await bundle({ entry: "test/simulator/main.ts", outfile: simulator });

const audits = [
  ...[
    "laws-red",
    "kill-rounds",
    "archive-kills",
    "two-processes",
    "retry-proxy",
    "durable",
    "bad-disk",
    "fuzz",
  ],
  ...["ten-million", "functions-die", "alarm-dead", "delayed-deployed"],
  ...["delayed-on-time", "delayed-flood", "delayed-restart", "delayed-retries", "recall-races"],
  "examples-with-kills",
];
/** What an audit ends with where there is no strace or none may be used, or no emulator of AWS. */
const notShown = {
  durable: [3, 4],
  "functions-die": [3],
  "alarm-dead": [3],
  "delayed-deployed": [3],
};

const processes = availableParallelism();
const firstSeed = Math.floor(Math.random() * 1e9);
/** The dice take 32 bits of a seed: so far apart, no two processes come to the same one. */
const seedsApart = Math.floor(2 ** 32 / processes);
const table = [];
const failingSeeds = [];

const runs = Array.from({ length: processes }, (_, index) => soak(index));
for (const { name, code, failing } of await Promise.all(runs)) {
  table.push({ name, code });
  failingSeeds.push(...failing);
}
for (const audit of audits) {
  if (!existsSync(`${root}scripts/${audit}.ts`)) continue;
  print(`\n== ${audit}`);
  const { code } = await run(["--import", "tsx", `scripts/${audit}.ts`], print);
  table.push({ name: audit, code });
}

print("");
for (const { name, code } of table) print(`${name.padEnd(32)} ${told(name, code)}`);
print(failingSeeds.length === 0 ? "no seed fails" : "failing seeds, each with how to repeat it:");
for (const seed of failingSeeds) print(`  npm run sim -- --seed ${seed} --shrink`);
process.exitCode = table.every(({ name, code }) => code === 0 || isNotShown(name, code)) ? 0 : 1;

async function soak(index) {
  const seed = firstSeed + index * seedsApart;
  const name = `simulator, seeds from ${seed}`;
  const options = ["--seed", String(seed), "--minutes", values.minutes];
  print(`== ${name}, ${values.minutes} minutes`);
  const { code, lines } = await run([simulator, ...options], (line) => print(`  ${line}`));
  const failing = lines.flatMap((line) => /^seed (\d+): /.exec(line)?.[1] ?? []);
  return { name, code, failing };
}

/** Runs a script of Node to its end and tells each line as it comes. */
function run(args, tell) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    const lines = [];
    for (const stream of [child.stdout, child.stderr]) {
      let rest = "";
      stream.setEncoding("utf8").on("data", (text) => {
        const whole = (rest + text).split("\n");
        rest = whole.pop();
        for (const line of whole) {
          lines.push(line);
          tell(line);
        }
      });
    }
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code: code ?? signal, lines }));
  });
}

function isNotShown(name, code) {
  return notShown[name]?.includes(code) ?? false;
}

function told(name, code) {
  return isNotShown(name, code) ? `exit code ${code}: cannot be shown here` : `exit code ${code}`;
}

function print(line) {
  process.stdout.write(`${line}\n`);
}
