/*
 * An orderly group of which one message group waits for 30 s, beside one in which none does.
 *
 *   node --import tsx scripts/orderly-blocked.ts [--seed N] [--messages 100000] [--slices 6] [--control]
 *
 * Two topics of one queue with the same messages of 1,000 message groups, received and acknowledged over 16 connections.
 * In one of them the first message of a message group is given back for 30 s. Slices of both take turns during these 30 s;
 * the median of the blocked one has to be at least 0.9 of the other's. Nothing of the blocked message group is given out
 * meanwhile, and what was given back comes again when its time is over. Control: a server in which nothing passes what
 * is blocked.
 */
import { Agent } from "node:http";
import { readCommandLine, say } from "./audit/command-line.ts";
import { call, callJson } from "./audit/http.ts";
import { judge, printTable } from "./audit/report.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";

const connections = 16;
const batch = 32;
const chains = 1_000;
const blockedChain = "c0";
const blockedMs = 30_000;
const ratioMin = 0.9;
const commandLine = readCommandLine("orderly-blocked", { messages: 100_000, slices: 6 });
const { controlOnly, slices } = commandLine;

interface Given {
  readonly body: string;
  readonly receiptHandle: string;
}

class Contestant {
  readonly topic: string;
  readonly rates: number[] = [];
  readonly #url: string;
  readonly #agent: Agent;
  readonly #blocks: boolean;
  blockedAt: number | undefined;
  /** When messages of the blocked message group were given out after it was blocked. */
  readonly passed: number[] = [];

  constructor(topic: string, url: string, agent: Agent, blocks: boolean) {
    this.topic = topic;
    this.#url = url;
    this.#agent = agent;
    this.#blocks = blocks;
  }

  async prepare(count: number): Promise<void> {
    const path = `/v1/topics/${this.topic}`;
    await callJson(this.#url, "PUT", path, { queues: 1 });
    await callJson(this.#url, "PUT", `/v1/groups/${this.topic}`, { orderly: true });
    for (let sent = 0; sent < count; sent += 500) {
      const messages = Array.from({ length: 500 }, (_, place) => {
        const messageGroup = `c${(sent + place) % chains}`;
        return { body: `${messageGroup} ${"x".repeat(200)}`, messageGroup };
      });
      await callJson(this.#url, "POST", `${path}/messages`, { messages });
    }
  }

  async slice(ms: number): Promise<void> {
    const began = performance.now();
    const counts = await Promise.all(
      Array.from({ length: connections }, async () => {
        let done = 0;
        while (performance.now() < began + ms) {
          const acknowledged = await this.#turn();
          done += acknowledged;
        }
        return done;
      }),
    );
    const done = counts.reduce((sum, each) => sum + each, 0);
    this.rates.push((done * 1_000) / (performance.now() - began));
  }

  async #turn(): Promise<number> {
    const { messages } = await this.#post<{ messages: Given[] }>("receive", {
      ...{ topic: this.topic, max: batch, invisibleMs: 60_000 },
    });
    const isBlocked = (each: Given) => each.body.startsWith(`${blockedChain} `);
    for (const each of this.#blocks ? messages.filter(isBlocked) : []) {
      if (this.blockedAt !== undefined) this.passed.push(performance.now());
      else {
        this.blockedAt = performance.now();
        const receiptHandles = [each.receiptHandle];
        await this.#post("nack", { receiptHandles, delayMs: blockedMs });
        messages.splice(messages.indexOf(each), 1);
      }
    }
    const receiptHandles = messages.map((each) => each.receiptHandle);
    if (receiptHandles.length > 0) await this.#post("ack", { receiptHandles });
    return receiptHandles.length;
  }

  async #post<T>(verb: string, json: object): Promise<T> {
    const { body } = await call(this.#agent, this.#url, {
      method: "POST",
      path: `/v1/groups/${this.topic}/${verb}`,
      headers: { "content-type": "application/json" },
      body: Buffer.from(JSON.stringify(json)),
    });
    return JSON.parse(body.toString()) as T;
  }
}

const median = (numbers: readonly number[]) =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

async function run(patches: readonly Patch[]): Promise<boolean> {
  const bundle = await buildServer("orderly-blocked", patches);
  return withFolder(async (data) => {
    const server = await ServerProcess.start({ bundle, data });
    const agent = new Agent({ keepAlive: true, maxSockets: connections });
    const blocked = new Contestant("blocked", server.url, agent, true);
    const free = new Contestant("free", server.url, agent, false);
    for (const each of [blocked, free]) await each.prepare(commandLine.messages);
    for (const each of [blocked, free]) await each.slice(500);
    for (const each of [blocked, free]) each.rates.length = 0;
    const began = blocked.blockedAt ?? performance.now();
    const sliceMs = (blockedMs - 3_000) / (2 * slices);
    for (let round = 0; round < slices; round++) {
      const turn = round % 2 === 0 ? [blocked, free] : [free, blocked];
      for (const each of turn) await each.slice(sliceMs);
    }
    const rows = [blocked, free].map(({ topic, rates }) => ({
      topic,
      ...{ median: median(rates).toFixed(0), lowest: Math.min(...rates).toFixed(0) },
      highest: Math.max(...rates).toFixed(0),
    }));
    const ratio = median(blocked.rates) / median(free.rates);
    const tooEarly = blocked.passed.filter((at) => at < began + blockedMs - 50).length;
    const endsAt = began + blockedMs + 3_000;
    while (blocked.passed.length === tooEarly && performance.now() < endsAt)
      await blocked.slice(50);
    const late = (blocked.passed[tooEarly] ?? Number.POSITIVE_INFINITY) - began - blockedMs;
    agent.destroy();
    await server.stop();
    printTable(rows);
    say(`  ratio ${ratio.toFixed(2)}, comes again ${late.toFixed(0)} ms after its time`);
    const keepsOrder = judge("nothing of the message group passes what is blocked", tooEarly === 0);
    const comesAgain = judge("it comes again when its time is over", late < 2_000);
    return (
      judge(`others keep ${ratioMin} of their throughput`, ratio >= ratioMin) &&
      keepsOrder &&
      comesAgain
    );
  });
}

const nothingPasses: readonly Patch[] = [
  {
    file: "src/broker/consuming/give-out.ts",
    find: "            if (state.heldBack.length >= heldBackMax) return false;",
    replace: "            if (state.heldBack.length >= 1) return false;",
  },
];

const isFine = controlOnly || (await run([]));
say("control: nothing passes what is blocked");
const isCaught = !(await run(nothingPasses));
finish(judge("the audit notices a queue that stands still", isCaught) && isFine);
