/*
 * What each function loads when it starts, what it may ever load (minified), and how long the first takes.
 *
 *   node --import tsx scripts/function-sizes.ts
 *
 * Loading is what Node does with the bundle in a process of its own: the median of some runs on this machine, which says
 * more about one bundle against another than about Lambda. `scripts/bundle-functions.mjs` explains the flags.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { environmentOf } from "../functions/settings.ts";
import { judge, printTable } from "./audit/report.ts";
import { bundleFunctions, functionEntries } from "./bundle-functions.mjs";
import { sizesOf } from "./bundle-sizes.ts";

const runs = 11;
/** What callers wait for: a send that starts cold. */
const sendBytesMax = { atStart: 400_000, ever: 600_000 };

const settings = environmentOf({
  table: "t",
  bucket: "b",
  scheduleGroup: "g",
  schedulerRoleArn: "r",
  onAlarmArn: "f",
  deadLettersArn: "d",
  service: "s",
});

const folder = mkdtempSync(join(tmpdir(), "tasso-sizes-"));
try {
  const sizes = sizesOf(await bundleFunctions({ outdir: folder }));
  const empty = join(folder, "empty.mjs");
  writeFileSync(empty, "");
  const nothing = startMs(empty);
  printTable(
    functionEntries.map((name) => {
      const { atStart = 0, ever = 0 } = sizes.get(name) ?? {};
      const loadMs = startMs(join(folder, `${name}.mjs`)) - nothing;
      return { function: name, "at start KB": kb(atStart), "ever KB": kb(ever), "load ms": loadMs };
    }),
  );
  const { atStart = 0, ever = 0 } = sizes.get("send") ?? {};
  const met = [
    judge(`a send loads ${kb(atStart)} KB, at most 400`, atStart <= sendBytesMax.atStart),
    judge(`and never more than ${kb(ever)} KB, at most 600`, ever <= sendBytesMax.ever),
  ];
  process.exitCode = met.every(Boolean) ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}

function kb(bytes: number): number {
  return Math.round(bytes / 1_000);
}

/** How long a process takes to load a file and end. */
function startMs(file: string): number {
  const times = Array.from({ length: runs }, () => {
    const began = performance.now();
    execFileSync(process.execPath, ["--no-warnings", "-e", `import(${JSON.stringify(file)})`], {
      env: { ...settings, AWS_REGION: "us-east-1" },
    });
    return performance.now() - began;
  });
  return Math.round(times.sort((a, b) => a - b)[Math.floor(runs / 2)] ?? 0);
}
