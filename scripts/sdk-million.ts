/*
 * The client library at speed: a million messages of 100 bytes by `sendAsync` from one process to the local server.
 *
 * 1. Speed: its messages a second against the bare baseline of the bench (scripts/bench/baseline-server.ts) under the shape of
 *    the bench's gate, 32 messages a request over 16 connections, with bodies of 100 bytes as well; slices in turn, medians.
 *    The baseline that is given requests as large as the client's is printed beside it.
 * 2. Memory: the server is stopped for 10 s in the midst. The client says no more, holds its buffer and 64 MB at most, and
 *    drops nothing.
 *
 *   node --import tsx scripts/sdk-million.ts [--seed N] [--rounds 1000000] [--stop 10000] [--control]
 *
 * Control: the same stop with a client that never says no more.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { readCommandLine, say } from "./audit/command-line.ts";
import { expectJson } from "./audit/http.ts";
import { anonymousBytesOf } from "./audit/process-facts.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import type { SendOrder, SendReport } from "./audit/sdk-client.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";
import { Connections } from "./bench/load.ts";
import { median } from "./bench/measure.ts";
import { binarySends } from "./bench/requests.ts";
import { ServerProcess as Baseline } from "./bench/server-process.ts";

const topic = "million";
const queues = 8;
const bodyBytes = 100;
const ratioMin = 0.5;
const bufferBytes = 16_777_216;
const beyondBufferMax = 64 * 1_048_576;
/**
 * Left alone V8 takes some 80 MB for garbage that it has not got round to, however little is in use; so the heap is bounded, as
 * in a container. What the client holds has to fit.
 */
const execArgv = ["--max-old-space-size=32", "--max-semi-space-size=2"];
const slices = 5;
/** As in the gate of the bench. */
const bare = { messages: 32, connections: 16 };
/** About what the client sends when it is given as much as it takes. */
const large = { messages: 1_024, connections: 8 };

const { rounds, stop, controlOnly } = readCommandLine("sdk-million", {
  rounds: 1_000_000,
  stop: 10_000,
});

const bug: Patch = {
  file: "src/client/producer.ts",
  find: "return this.#buffered < this.#options.bufferBytes;",
  replace: "return true;",
};

/** The client's process. */
class Client {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(patches: readonly Patch[], url: string): Promise<Client> {
    const name = `sdk-client-${patches.length}`;
    const bundle = await buildServer(name, patches, "scripts/audit/sdk-client.ts");
    const child = fork(bundle, [url, topic, String(bufferBytes)], { execArgv });
    await once(child, "message");
    return new Client(child);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async send(order: SendOrder): Promise<SendReport> {
    const report = once(this.#child, "message");
    this.#child.send(order);
    const [told] = (await report) as [SendReport];
    return told;
  }

  async end(): Promise<void> {
    const ended = once(this.#child, "exit");
    this.#child.disconnect();
    await ended;
  }
}

async function speed(): Promise<boolean> {
  say(`speed: ${rounds} messages of ${bodyBytes} bytes in ${slices} slices, against the baseline`);
  const bundle = await buildServer("sdk-million");
  const baselineBundle = await buildServer(
    "sdk-million-baseline",
    [],
    "scripts/bench/baseline-server.ts",
  );
  return withFolder(async (folder) => {
    const data = join(folder, "data");
    const server = await ServerProcess.start({ bundle, data });
    await mkdir(join(folder, "baseline"));
    const baseline = await Baseline.start([
      baselineBundle,
      join(folder, "baseline/b.mdb"),
      "plain",
    ]);
    await expectJson(server.url, "PUT", `/v1/topics/${topic}`, { queues });
    const client = await Client.start([], server.url);
    const contenders = [bare, large].map((shape) => ({
      ...shape,
      source: binarySends(shape.messages, { bodyBytes }),
    }));
    const failures: string[] = [];
    const sendSlice = async (from: number, to: number) => {
      const report = await client.send({ from, to });
      failures.push(...report.failures);
      if (report.told !== to - from) failures.push(`${report.told} of ${to - from} were told`);
      return (to - from) / report.seconds;
    };
    const bareSlice = async ({ connections, source, messages }: (typeof contenders)[number]) => {
      // New ones each time: the server closes those that were idle during a slice of the client's.
      const opened = await Connections.open(baseline.port, connections);
      const { requests, seconds } = await opened.run(source, { ms: 1_000 });
      opened.close();
      return (requests * messages) / seconds;
    };
    // One of each for warming up; it does not count.
    await sendSlice(rounds, rounds + Math.floor(rounds / slices));
    for (const contender of contenders) await bareSlice(contender);
    const ours: number[] = [];
    const theirs: number[][] = contenders.map(() => []);
    for (let slice = 0; slice < slices; slice++) {
      const at = (one: number) => Math.floor((rounds * one) / slices);
      ours.push(await sendSlice(at(slice), at(slice + 1)));
      for (const [index, contender] of contenders.entries())
        theirs[index]?.push(await bareSlice(contender));
    }
    const sent = rounds + Math.floor(rounds / slices);
    failures.push(...(await auditAll(server.url, sent)));
    await client.end();
    await Promise.all([server.stop(), baseline.stop()]);
    const [gate = 0, beside = 0] = theirs.map(median);
    const ratio = median(ours) / gate;
    printTable([
      {
        "messages/s": median(ours).toFixed(0),
        "bare, 32 a request": gate.toFixed(0),
        ratio: ratio.toFixed(2),
        "bare, 1024 a request": beside.toFixed(0),
        "ratio to that": (median(ours) / beside).toFixed(2),
      },
    ]);
    printViolations(failures);
    return [
      judge("all told and there, none twice", failures.length === 0),
      judge(`${ratio.toFixed(2)} of the bare baseline, ${ratioMin} demanded`, ratio >= ratioMin),
    ].every(Boolean);
  });
}

interface Stopped {
  readonly pushedBack: boolean;
  readonly bytesMost: number;
  readonly violations: readonly string[];
}

async function stopInTheMidst(patches: readonly Patch[]): Promise<Stopped> {
  const bundle = await buildServer("sdk-million");
  return withFolder(async (data) => {
    const server = await ServerProcess.start({ bundle, data });
    await expectJson(server.url, "PUT", `/v1/topics/${topic}`, { queues });
    const client = await Client.start(patches, server.url);
    let bytesMost = 0;
    let going = true;
    const watching = (async () => {
      while (going) {
        bytesMost = Math.max(bytesMost, await anonymousBytesOf(client.pid));
        await pause(50);
      }
    })();
    const sending = client.send({ from: 0, to: rounds });
    await pause(500);
    process.kill(server.pid, "SIGSTOP");
    await pause(stop);
    process.kill(server.pid, "SIGCONT");
    const report = await sending;
    going = false;
    await watching;
    const violations = [...report.failures, ...(await auditAll(server.url, rounds))];
    if (report.told !== rounds) violations.push(`${report.told} of ${rounds} were told`);
    await client.end();
    await server.stop();
    printTable([
      {
        messages: rounds,
        told: report.told,
        "told to wait": report.pushedBack,
        "most memory MB": (bytesMost / 1_048_576).toFixed(0),
        "buffer MB": bufferBytes / 1_048_576,
      },
    ]);
    printViolations(violations);
    return { pushedBack: report.pushedBack > 0, bytesMost, violations };
  });
}

/** Every number from 0 on is there, once. */
async function auditAll(url: string, count: number): Promise<string[]> {
  const seen = new Uint8Array(count);
  const violations: string[] = [];
  for (let queue = 0; queue < queues; queue++) {
    for (let offset = 0; ; ) {
      const path = `/v1/topics/${topic}/queues/${queue}/messages?offset=${offset}&max=1024&maxBytes=4194304`;
      const page = await expectJson<{ messages: { body: string }[]; nextOffset: number }>(
        url,
        "GET",
        path,
      );
      if (page.messages.length === 0) break;
      for (const { body } of page.messages) {
        const number = Number(/^\{"number":(\d+),/.exec(body)?.[1]);
        if (seen[number] !== 0) violations.push(`${number} is there twice, or was never sent`);
        seen[number] = 1;
      }
      offset = page.nextOffset;
    }
  }
  const missing = seen.indexOf(0);
  if (missing >= 0) violations.push(`${missing} is not there`);
  return violations;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function memory(): Promise<boolean> {
  say(`memory: the server stops for ${stop} ms`);
  const { pushedBack, bytesMost, violations } = await stopInTheMidst([]);
  const most = (bufferBytes + beyondBufferMax) / 1_048_576;
  return [
    judge("it said no more", pushedBack),
    judge(`at most the buffer and 64 MB, ${most} MB`, bytesMost <= most * 1_048_576),
    judge("nothing dropped, nothing twice", violations.length === 0),
  ].every(Boolean);
}

async function control(): Promise<boolean> {
  say("control: a client that never says no more");
  const { pushedBack, bytesMost } = await stopInTheMidst([bug]);
  return judge(
    "the audit sees that it holds more than it may",
    !pushedBack && bytesMost > bufferBytes + beyondBufferMax,
  );
}

const passed = controlOnly || [await speed(), await memory()].every(Boolean);
const caught = await control();
finish(passed && caught);
