/*
 * Measures the local server against the least that a durable HTTP broker on the same stack could be. Both run on this
 * machine at the same time as the load generator, so only ratios of one run mean anything.
 *
 *   npm run bench -- [--quick] [--cells send:binary:32:16,...] [--json FILE] [--slice MS] [--profile FOLDER]
 *
 * Exits with 1 where a gate is missed.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { allCells, gateCells, readCell, seekCell } from "./bench/cells.ts";
import { type Measured, measure, type Servers } from "./bench/measure.ts";
import { gates, table } from "./bench/report.ts";
import { type Seek, seek } from "./bench/seek.ts";
import { ServerProcess } from "./bench/server-process.ts";

type Bundle = (options: { entry: string; outfile: string }) => Promise<string>;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const say = (text: string) => process.stdout.write(`${text}\n`);

const { values: options } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    cells: { type: "string" },
    json: { type: "string" },
    slice: { type: "string", default: "1000" },
    /** CPU profiles of our server, one file a cell. */
    profile: { type: "string" },
  },
});

const chosen = options.cells?.split(",") ?? (options.quick ? [...gateCells, seekCell] : allCells());
const cells = chosen.filter((name) => name !== seekCell).map(readCell);
const folder = await mkdtemp(join(tmpdir(), "tasso-bench-"));
const measured: Measured[] = [];
let sought: Seek | undefined;
try {
  const servers = await bundled();
  for (const cell of cells) {
    measured.push(await measure(cell, servers, Number(options.slice)));
    await empty();
    process.stderr.write(`${measured.length} of ${cells.length} cells\r`);
  }
  if (chosen.includes(seekCell)) sought = await seek(servers);
} finally {
  await rm(folder, { recursive: true });
}

if (measured.length > 0) say(table(measured));
const judged = gates(measured, sought);
for (const { name, passed, told } of judged) say(`${passed ? "held" : "MISSED"}  ${name}: ${told}`);
if (options.json !== undefined) {
  const report = { cells: measured, seek: sought, gates: judged };
  await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
}
process.exit(judged.every(({ passed }) => passed) ? 0 : 1);

async function bundled(): Promise<Servers> {
  const { bundle } = (await import(new URL("bundle.mjs", import.meta.url).href)) as {
    bundle: Bundle;
  };
  // Below node_modules, so that the bundles find lmdb.
  const built = join(root, "node_modules/.cache/tasso");
  const [local, baseline] = await Promise.all([
    bundle({ entry: "src/local/main.ts", outfile: join(built, "bench-local.mjs") }),
    bundle({
      entry: "scripts/bench/baseline-server.ts",
      outfile: join(built, "bench-baseline.mjs"),
    }),
  ]);
  const profiling =
    options.profile === undefined
      ? []
      : ["--cpu-prof", `--cpu-prof-dir=${resolve(options.profile)}`];
  let started = 0;
  const fresh = async () => {
    const path = join(folder, String(++started));
    await mkdir(path);
    return path;
  };
  return {
    ours: async () =>
      ServerProcess.start([...profiling, local, "--port", "0", "--data", await fresh()]),
    baseline: async (form) =>
      ServerProcess.start([baseline, join(await fresh(), "baseline.mdb"), form]),
  };
}

/** Gigabytes are written; what a cell leaves behind goes before the next. */
async function empty(): Promise<void> {
  await rm(folder, { recursive: true });
  await mkdir(folder);
}
