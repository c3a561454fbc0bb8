/*
 * A file of a million lines, sent and read back with the command line: the same lines, each once, and those of a queue in
 * the order of the file. Both commands end with 0 and show a progress bar that reaches the end.
 *
 *   node --import tsx scripts/cli-million.ts [--seed N] [--lines 1000000] [--control]
 *
 * Control: a reader that loses the first message behind each page.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { readCommandLine, say } from "./audit/command-line.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";

const topic = "lines";
const queues = 8;
const cli = "src/cli/main.ts";

const { lines, controlOnly, random } = readCommandLine("cli-million", { lines: 1_000_000 });

const losesOneAPage: Patch = {
  file: "src/cli/queue-reader.ts",
  find: "offset = last.offset + 1;",
  replace: "offset = last.offset + 2;",
};

interface Run {
  readonly code: number | null;
  readonly seconds: number;
  readonly stderr: string;
}

/** Runs a command to its end; `take` is given each line of what it writes. */
async function run(
  bundle: string,
  args: readonly string[],
  take: (line: string) => void = () => undefined,
): Promise<Run> {
  const began = performance.now();
  const child = spawn(process.execPath, [bundle, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const closed = once(child, "close");
  for await (const line of createInterface({ input: child.stdout })) take(line);
  const [code] = await closed;
  return { code, seconds: (performance.now() - began) / 1_000, stderr };
}

/** Line numbers with text of different lengths behind them, some of it not ASCII. */
async function writeLines(path: string): Promise<string[]> {
  const written: string[] = [];
  const file = createWriteStream(path);
  for (let at = 0; at < lines; at++) {
    const line = `${at} ${"aé漢".repeat(Math.floor(random() * 12))}${Math.floor(random() * 1e9)}`;
    written.push(line);
    if (!file.write(`${line}\n`)) await once(file, "drain");
  }
  file.end();
  await once(file, "finish");
  return written;
}

/** What was read, compared with what was written as it comes. */
class Comparison {
  readonly violations: string[] = [];
  read = 0;
  readonly #written: readonly string[];
  readonly #seen: Uint8Array;
  readonly #last = new Map<number, { readonly offset: number; readonly line: number }>();

  constructor(written: readonly string[]) {
    this.#written = written;
    this.#seen = new Uint8Array(written.length);
  }

  take(text: string): void {
    const { queue, offset, body } = JSON.parse(text) as {
      queue: number;
      offset: number;
      body: string;
    };
    this.read++;
    const line = Number.parseInt(body, 10);
    const at = `${queue}@${offset}`;
    if (this.#written[line] !== body) this.violations.push(`${at}: nobody wrote "${body}"`);
    if (this.#seen[line] === 1) this.violations.push(`${at}: line ${line} a second time`);
    this.#seen[line] = 1;
    const last = this.#last.get(queue) ?? { offset: -1, line: -1 };
    if (offset !== last.offset + 1) this.violations.push(`${at} follows ${last.offset}`);
    if (line <= last.line) this.violations.push(`${at}: line ${line} follows line ${last.line}`);
    this.#last.set(queue, { offset, line });
  }

  end(): readonly string[] {
    const lost = this.#seen.reduce((count, seen) => count + (seen === 1 ? 0 : 1), 0);
    if (lost > 0) this.violations.push(`${lost} lines are not there`);
    return this.violations;
  }
}

const hasBar = ({ stderr }: Run) => / 0 % \|/.test(stderr) && /█ 100 % \| (\d+)\/\1 /.test(stderr);

async function readBack(bundle: string, url: string, written: readonly string[]) {
  const comparison = new Comparison(written);
  const tail = ["tail", topic, "--from", "earliest", "--until-end"];
  const options = ["--broker", url, "--progress"];
  const ran = await run(bundle, [...options, ...tail], (line) => comparison.take(line));
  return { ran, violations: comparison.end(), read: comparison.read };
}

const met = await withFolder(async (folder) => {
  const [server, bundle, faulty] = await Promise.all([
    buildServer("server"),
    buildServer("cli", [], cli),
    buildServer("cli-loses", [losesOneAPage], cli),
  ]);
  const path = join(folder, "lines.txt");
  const written = await writeLines(path);
  const { url, ...running } = await startServer(server, join(folder, "data"));
  const options = ["--broker", url, "--progress"];
  await run(bundle, [...options, "topics", "create", topic, "--queues", String(queues)]);
  const sent = await run(bundle, [...options, "send", topic, "--file", path]);
  const results: boolean[] = [];
  if (!controlOnly) {
    const { ran, violations, read } = await readBack(bundle, url, written);
    printTable([
      { what: "send", lines, seconds: sent.seconds.toFixed(1), "a second": rate(sent) },
      { what: "tail", lines: read, seconds: ran.seconds.toFixed(1), "a second": rate(ran) },
    ]);
    printViolations(violations);
    say(`  the bar at its end: ${sent.stderr.trim().split("\n").at(-1)?.trim()}`);
    results.push(
      judge(
        `${lines} lines came back, each once, in order in each of ${queues} queues`,
        violations.length === 0,
      ),
      judge("both commands ended with 0", sent.code === 0 && ran.code === 0),
      judge(
        "both showed a bar on standard error that began at 0 and reached 100 %",
        hasBar(sent) && hasBar(ran),
      ),
    );
  }
  const control = await readBack(faulty, url, written);
  printViolations(control.violations.slice(0, 3));
  results.push(
    judge(
      "control: a reader that loses one message a page is caught",
      control.violations.length > 0,
    ),
  );
  await running.stop();
  return results.every(Boolean);
});

async function startServer(bundle: string, data: string) {
  const server = await ServerProcess.start({ bundle, data });
  return { url: server.url, stop: () => server.stop() };
}

function rate({ seconds }: Run): string {
  return Math.round(lines / seconds).toLocaleString("en");
}

finish(met);
