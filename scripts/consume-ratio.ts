/*
 * How fast messages are received and acknowledged, beside being pulled.
 *
 *   node --import tsx scripts/consume-ratio.ts [--seed N] [--seconds 1] [--slices 6] [--control]
 *
 * One server, 16 connections, 32 messages of 1 KB a request. Slices of pulls and of receive-and-acknowledge take turns on
 * the same topic; what counts is the ratio of their medians, which must be at least 0.3. The server's CPU-seconds a
 * million messages stand beside it. Control: a server that looks at all queues for
 * each receive, and commits each change of a queue's state by itself.
 */
import { Agent } from "node:http";
import { readCommandLine, say } from "./audit/command-line.ts";
import { call, callJson } from "./audit/http.ts";
import { cpuSecondsOf } from "./audit/process-facts.ts";
import { judge, printTable } from "./audit/report.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";

const topic = "orders";
const queues = 8;
const connections = 16;
const batch = 32;
const ratioMin = 0.3;
/** Less than a segment a queue: what is archived is read by blocks of a blob, which would measure those. */
const total = 98_304;
const { seconds, slices, controlOnly } = readCommandLine("consume-ratio", {
  seconds: 1,
  slices: 6,
});

interface Slice {
  readonly perSecond: number;
  readonly cpuSecondsPerMillion: number;
}

/** What is done over all connections, for a slice at a time. */
class Work {
  readonly slices: Slice[] = [];
  readonly #pid: number;
  readonly #turn: (connection: number) => Promise<number>;

  constructor(pid: number, turn: (connection: number) => Promise<number>) {
    this.#pid = pid;
    this.#turn = turn;
  }

  async slice(): Promise<void> {
    const cpuBefore = await cpuSecondsOf(this.#pid);
    const began = performance.now();
    const endsAt = began + seconds * 1_000;
    const counts = await Promise.all(
      Array.from({ length: connections }, async (_, connection) => {
        let count = 0;
        while (performance.now() < endsAt) {
          const messages = await this.#turn(connection);
          count += messages;
        }
        return count;
      }),
    );
    const messages = counts.reduce((sum, each) => sum + each, 0);
    const took = (performance.now() - began) / 1_000;
    const cpuSeconds = (await cpuSecondsOf(this.#pid)) - cpuBefore;
    const cpuSecondsPerMillion = (cpuSeconds / messages) * 1_000_000;
    this.slices.push({ perSecond: messages / took, cpuSecondsPerMillion });
  }

  median(of: keyof Slice): number {
    const all = this.slices.map((each) => each[of]).sort((a, b) => a - b);
    return all[Math.floor(all.length / 2)] ?? 0;
  }
}

async function fill(url: string): Promise<void> {
  const body = "x".repeat(1_024);
  for (let sent = 0; sent < total; sent += batch * queues) {
    const messages = Array.from({ length: batch * queues }, (_, index) => ({
      body,
      queue: index % queues,
    }));
    await callJson(url, "POST", `/v1/topics/${topic}/messages`, { messages });
  }
}

async function measure(patches: readonly Patch[]): Promise<number> {
  const bundle = await buildServer("consume-ratio", patches);
  return withFolder(async (data) => {
    const server = await ServerProcess.start({ bundle, data });
    const { url } = server;
    const agent = new Agent({ keepAlive: true, maxSockets: connections });
    await callJson(url, "PUT", `/v1/topics/${topic}`, { queues });
    await fill(url);
    const offsets = new Array<number>(connections).fill(0);
    const pulls = new Work(server.pid, async (connection) => {
      const offset = offsets[connection] ?? 0;
      offsets[connection] = (offset + batch) % (total / queues - batch);
      const path = `/v1/topics/${topic}/queues/${connection % queues}/messages?offset=${offset}&max=${batch}`;
      const { body } = await call(agent, url, { method: "GET", path });
      return (JSON.parse(body.toString()) as { messages: unknown[] }).messages.length;
    });
    const post = (verb: string, json: object) =>
      call(agent, url, {
        method: "POST",
        path: `/v1/groups/g/${verb}`,
        headers: { "content-type": "application/json" },
        body: Buffer.from(JSON.stringify(json)),
      });
    const receives = new Work(server.pid, async () => {
      const { body } = await post("receive", { topic, max: batch });
      const { messages } = JSON.parse(body.toString()) as { messages: { receiptHandle: string }[] };
      if (messages.length === 0) throw new Error("the topic is empty: shorter slices are needed");
      await post("ack", { receiptHandles: messages.map((each) => each.receiptHandle) });
      return messages.length;
    });
    for (let round = -1; round < slices; round++) {
      // The first round warms up.
      if (round === 0) for (const work of [pulls, receives]) work.slices.length = 0;
      await callJson(url, "POST", `/v1/groups/g/reset/${topic}`, { to: "earliest" });
      for (const work of round % 2 === 0 ? [pulls, receives] : [receives, pulls])
        await work.slice();
    }
    agent.destroy();
    await server.stop();
    const row = (name: string, work: Work) => ({
      "": name,
      "messages/s": work.median("perSecond").toFixed(0),
      "CPU-s per million": work.median("cpuSecondsPerMillion").toFixed(1),
    });
    printTable([row("pull", pulls), row("receive and ack", receives)]);
    const ratio = receives.median("perSecond") / pulls.median("perSecond");
    say(`  ratio ${ratio.toFixed(2)}`);
    return ratio;
  });
}

const forgetful: readonly Patch[] = [
  {
    file: "src/broker/consuming/receive.ts",
    find: "const lookEveryMs = 100;",
    replace: "const lookEveryMs = 0;",
  },
  {
    file: "src/broker/consuming/queue-states.ts",
    find: "      const isFull = writes.size",
    replace: "      const isFull = index > 0 || writes.size",
  },
];

const isFine =
  controlOnly ||
  judge(`receive to ack is at least ${ratioMin} of plain pull`, (await measure([])) >= ratioMin);
say("control: all queues are looked at for each receive, and each change is committed by itself");
const isCaught = judge("the audit notices the difference", (await measure(forgetful)) < ratioMin);
finish(isFine && isCaught);
