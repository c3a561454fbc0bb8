/*
 * Shows from outside, by strace, that no send is acknowledged before its bytes are on the disk.
 *
 *   node --import tsx scripts/durable.ts [--seed N] [--rounds 1000] [--control]
 *
 * `--rounds` is the number of sends. Controls: the same without flushing, and acknowledging before the flush; both have
 * to be noticed. Exit code 3: there is no strace here; 4: it may not trace.
 */
import { spawnSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { readCommandLine, say } from "./audit/command-line.ts";
import { type Flushed, flushedBeforeReply } from "./audit/flushes.ts";
import { call, expectJson, oneConnection } from "./audit/http.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";
import { parseTrace } from "./audit/system-calls.ts";

const connections = 16;
const queues = 4;
const traced = [
  "openat,fsync,fdatasync,msync",
  "read,readv,recvfrom,recvmsg",
  "write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2",
];
/** As on a slow disk: whoever does not wait for a flush is seen not to. */
const slowFlush = "inject=fdatasync,fsync:delay_enter=10ms";
const traceMsMax = 30_000;

const { rounds: sends, controlOnly, random } = readCommandLine("durable", { rounds: 1_000 });
expectStrace();

interface Outcome {
  readonly server: string;
  readonly requests: readonly Flushed[];
  readonly flushes: number;
}

function expectStrace(): void {
  const { error, status } = spawnSync("strace", ["-f", "-o", "/dev/null", "true"]);
  if (error !== undefined) stop("strace is not installed, so this cannot be shown here", 3);
  if (status !== 0) stop("strace may not trace here, so this cannot be shown", 4);
}

function stop(why: string, code: number): never {
  say(why);
  process.exit(code);
}

async function trace(server: string, patches: readonly Patch[], count: number): Promise<Outcome> {
  const bundle = await buildServer(`durable-${patches.length > 0 ? "control" : "plain"}`, patches);
  return withFolder(async (folder) => {
    const output = join(folder, "trace");
    const data = join(folder, "data");
    // With -D strace is the grandchild, and what is started and killed here is the server.
    const under = ["strace", "-D", "-f", "--seccomp-bpf", "-y", "-s", "65536", "-o", output];
    const process = await ServerProcess.start({
      bundle,
      data,
      under: [...under, "-e", `trace=${traced.join(",")}`, "-e", slowFlush],
    });
    const ids = await send(process.url, count);
    await process.stop();
    const calls = parseTrace(await wholeTrace(output, process.pid));
    const requests = flushedBeforeReply(calls, join(data, "store.mdb"), ids);
    const flushes = calls.filter(({ name }) => name === "fdatasync" || name === "fsync").length;
    return { server, requests, flushes };
  });
}

/** Sends over several connections at once; answers the ids of the requests. */
async function send(url: string, count: number): Promise<string[]> {
  await expectJson(url, "PUT", "/v1/topics/orders", { queues });
  // The control that answers before it commits has not committed the topic yet.
  await new Promise((resolve) => setTimeout(resolve, 300));
  const ids = Array.from({ length: count }, (_, i) => `d-${i}`);
  const left = ids.values();
  await Promise.all(
    Array.from({ length: connections }, async () => {
      const agent = oneConnection();
      for (const id of left) await sendOne(url, agent, id);
      agent.destroy();
    }),
  );
  return ids;
}

async function sendOne(url: string, agent: ReturnType<typeof oneConnection>, id: string) {
  const message = { body: `~${id}~ small`, queue: Math.floor(random() * queues) };
  // A control may answer anything; what was not answered with 200 is told by the trace.
  await call(agent, url, {
    method: "POST",
    path: "/v1/topics/orders/messages",
    headers: { "content-type": "application/json", "x-request-id": id },
    body: Buffer.from(JSON.stringify({ messages: [message] })),
  });
}

/** strace writes on for a moment after the server has ended. It pads short process ids with spaces. */
async function wholeTrace(path: string, pid: number): Promise<string> {
  const until = performance.now() + traceMsMax;
  const end = new RegExp(`^${pid} +\\+\\+\\+ exited`, "m");
  for (;;) {
    const text = await readFile(path, "latin1");
    if (end.test(text)) return text;
    if (performance.now() > until) throw new Error("the trace has no end");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function unproven({ requests }: Outcome): Flushed[] {
  return requests.filter(({ missing }) => missing !== undefined);
}

function row({ server, requests, flushes }: Outcome) {
  const missing = (why: string) =>
    requests.filter((request) => request.missing?.startsWith(why)).length;
  const noWrite = missing("no write");
  const noFlush = missing("no flush");
  const noCommit = missing("no commit page");
  const proven = requests.filter((request) => request.missing === undefined).length;
  return {
    server,
    sends: requests.length,
    "fsync calls": flushes,
    "flushed before the reply": proven,
    "no write": noWrite,
    "no flush": noFlush,
    "no commit page": noCommit,
    other: requests.length - proven - noWrite - noFlush - noCommit,
  };
}

const store = "src/adapters/local/lmdb-store.ts";
const overlapping = "overlappingSync: false,";
const noSync: Patch = { file: store, find: overlapping, replace: `${overlapping} noSync: true,` };
const lonePut =
  "vacant = await (this.#db as unknown as OptionalPuts).put(key, stored, onlyIfVacant);";
const beforeFlush: Patch = {
  file: store,
  find: lonePut,
  replace:
    "vacant = true; void (this.#db as unknown as OptionalPuts).put(key, stored, onlyIfVacant);",
};
/** The buffer is still being written then. */
const keepBuffer: Patch = {
  file: store,
  find: "} finally {\n      this.#buffers.giveBack(stored);",
  replace: "} finally {",
};
const atCommit: Patch = { file: store, find: overlapping, replace: "overlappingSync: true," };

const few = Math.ceil(sends / 5);
const plain = controlOnly ? undefined : await trace("as it is", [], sends);
const controls = [
  await trace("control: no flushing", [noSync], few),
  await trace("control: acknowledged before the flush", [beforeFlush, keepBuffer], few),
];
const overlapped = await trace("overlappingSync of lmdb", [atCommit], few);
printTable([...(plain ? [plain] : []), ...controls, overlapped].map(row));
const early = unproven(overlapped).length;
say(`note: with overlappingSync lmdb resolved before the flush ${early} times of ${few}`);
const verdicts = controls.map((control) =>
  judge(
    `${control.server}: is noticed`,
    unproven(control).some(({ missing }) => /^no (?:write|flush)/.test(missing ?? "")),
  ),
);
if (plain !== undefined) {
  const bad = unproven(plain);
  printViolations(bad.map(({ requestId, missing }) => `${requestId}: ${missing}`));
  verdicts.push(judge("every reply came after the flush of its bytes", bad.length === 0));
}
finish(verdicts.every(Boolean));
