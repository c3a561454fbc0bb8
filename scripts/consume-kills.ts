/*
 * Consumers that are killed with messages in hand.
 *
 *   node --import tsx scripts/consume-kills.ts [--seed N] [--messages 200000] [--kills 30] [--orderly 0|1] [--control]
 *
 * Four processes with four connections each receive from one server; every 2 s one of them is killed (SIGKILL) and
 * another one started. One message in ten is given back once, one in a hundred always (maxAttempts 4). At the end each
 * message is acknowledged or a dead letter, dead letters are those that always fail and were given out four times, and
 * what was given out again had been given back, or its holder was killed. With `--orderly 1` messages belong to 1,000
 * message groups, and no message of a group is given out after one that comes behind it was acknowledged. Controls: a
 * server that forgets what a dead consumer held,
 * one that gives out what somebody holds, and in an orderly group one that does not wait for earlier messages.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { readCommandLine, say } from "./audit/command-line.ts";
import { callJson } from "./audit/http.ts";
import { judge, printViolations } from "./audit/report.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";

const topic = "orders";
const group = "billing";
const processes = 4;
const connections = 4;
const killEveryMs = 2_000;
const invisibleMs = 5_000;
const maxAttempts = 4;
const chains = 1_000;

const commandLine = readCommandLine("consume-kills", { messages: 200_000, kills: 30, orderly: 0 });
const { controlOnly, random } = commandLine;
const whole: Size = { messages: commandLine.messages, kills: commandLine.kills };
const orderly = commandLine.orderly === 1;

interface Given {
  readonly at: number;
  readonly by: number;
  readonly attempt: number;
}

interface Fate {
  readonly given: Given[];
  readonly acks: number[];
  /** Who began to acknowledge it: killed at that, he could not tell how it went. */
  readonly tries: number[];
  readonly nacks: { readonly at: number; readonly by: number }[];
}

/** What consumers told, and when each of them was killed. */
class Ledger {
  readonly fates = new Map<string, Fate>();
  readonly killedAt = new Map<number, number>();
  acknowledged = 0;

  fate(id: string): Fate {
    const known = this.fates.get(id) ?? { given: [], acks: [], tries: [], nacks: [] };
    this.fates.set(id, known);
    return known;
  }

  take(by: number, line: string): void {
    const [kind, at = "", ...ids] = line.split(" ");
    for (const each of ids) {
      const [id = "", attempt = "0"] = each.split("#");
      const fate = this.fate(id);
      if (kind === "given") fate.given.push({ at: Number(at), by, attempt: Number(attempt) });
      else if (kind === "try-ack") fate.tries.push(by);
      else if (kind === "try-nack" || kind === "nack") fate.nacks.push({ at: Number(at), by });
      else if (fate.acks.push(Number(at)) === 1) this.acknowledged++;
    }
  }
}

function kindOf(index: number): string {
  if (index % 100 === 7) return "fails";
  return index % 10 === 3 ? "once" : "fine";
}

async function send(url: string, messages: number): Promise<void> {
  const batch = 500;
  for (let first = 0; first < messages; first += batch) {
    const size = Math.min(batch, messages - first);
    const json = Array.from({ length: size }, (_, place) => {
      const index = first + place;
      const chain = `c${index % chains}`;
      const body = `${index} ${kindOf(index)} ${chain} ${"x".repeat(200)}`;
      return orderly ? { body, messageGroup: chain } : { body, queue: index % 8 };
    });
    const path = `/v1/topics/${topic}/messages`;
    await callJson(url, "POST", path, { messages: json });
  }
}

function startConsumer(url: string, number: number, ledger: Ledger) {
  const script = fileURLToPath(new URL("audit/receiver-process.mjs", import.meta.url));
  const options = JSON.stringify({ url, group, topic, connections, orderly });
  const child = spawn("node", [script, options], { stdio: ["ignore", "pipe", "inherit"] });
  let rest = "";
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (part: string) => {
    const lines = (rest + part).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) ledger.take(number, line);
  });
  const exited = new Promise<void>((resolve) => child.on("close", () => resolve()));
  return {
    number,
    async kill() {
      ledger.killedAt.set(number, Date.now());
      child.kill("SIGKILL");
      await exited;
    },
  };
}

interface Size {
  readonly messages: number;
  readonly kills: number;
}

async function run(
  patches: readonly Patch[],
  { messages, kills }: Size,
): Promise<readonly string[]> {
  const bundle = await buildServer("consume-kills", patches);
  return withFolder(async (data) => {
    const server = await ServerProcess.start({ bundle, data });
    const { url } = server;
    await callJson(url, "PUT", `/v1/topics/${topic}`, { queues: 8 });
    const settings = { retryMs: [200, 500, 1_000], maxAttempts, orderly };
    await callJson(url, "PUT", `/v1/groups/${group}`, settings);
    const sentAt = Date.now();
    await send(url, messages);
    say(`  ${messages} messages sent in ${((Date.now() - sentAt) / 1_000).toFixed(1)} s`);
    const ledger = new Ledger();
    let started = 0;
    const living = Array.from({ length: processes }, () => startConsumer(url, ++started, ledger));
    const began = Date.now();
    const dead = Math.ceil(messages / 100);
    let killed = 0;
    let lastProgressAt = Date.now();
    for (let before = -1; ; ) {
      await new Promise((resolve) => setTimeout(resolve, killEveryMs));
      if (ledger.acknowledged !== before) lastProgressAt = Date.now();
      before = ledger.acknowledged;
      const isDone = ledger.acknowledged >= messages - dead;
      if (killed >= kills && (isDone || Date.now() - lastProgressAt > 30_000)) break;
      if (Date.now() - lastProgressAt > 60_000) break;
      if (killed >= kills) continue;
      const index = Math.floor(random() * processes);
      await living[index]?.kill();
      killed++;
      living[index] = startConsumer(url, ++started, ledger);
    }
    // What always fails takes its four attempts.
    await new Promise((resolve) => setTimeout(resolve, 8_000 + 2 * invisibleMs));
    const seconds = (Date.now() - began) / 1_000;
    const { json: lag } = await callJson<{ total: number }>(
      url,
      "GET",
      `/v1/groups/${group}/lag/${topic}`,
    );
    for (const each of living) await each.kill();
    const violations = [...judgeFates(messages, ledger, await deadLetters(url))];
    if (lag.total > 0) violations.push(`${lag.total} messages are left`);
    say(`  ${killed} kills, ${ledger.acknowledged} acknowledged, ${seconds.toFixed(0)} s`);
    await server.stop();
    printViolations(violations);
    return violations;
  });
}

async function deadLetters(url: string): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (let offset = 0; ; ) {
    const path = `/v1/groups/${group}/dead-letters?offset=${offset}&max=500`;
    const page = await callJson<{
      messages: { body: string; origin: { attempts: number } }[];
      nextOffset: number;
      maxOffset: number;
    }>(url, "GET", path);
    for (const { body, origin } of page.json.messages)
      found.set(body.split(" ")[0] ?? "", origin.attempts);
    offset = page.json.nextOffset;
    if (offset >= page.json.maxOffset) return found;
  }
}

function* judgeFates(
  messages: number,
  ledger: Ledger,
  dead: ReadonlyMap<string, number>,
): Generator<string> {
  let twice = 0;
  for (let index = 0; index < messages; index++) {
    const id = String(index);
    const { given, acks, tries, nacks } = ledger.fate(id);
    const maybeAcked = tries.some((by) => ledger.killedAt.has(by));
    const attempts = dead.get(id);
    if (acks.length === 0 && attempts === undefined && !maybeAcked)
      yield `${id} (${kindOf(index)}) is neither acknowledged nor a dead letter: given ${given.length} times`;
    if (attempts !== undefined && attempts !== maxAttempts) yield `${id} is dead after ${attempts}`;
    if (acks.length > 0 && attempts !== undefined) yield `${id} was acknowledged and is dead`;
    const sorted = given.toSorted((a, b) => a.at - b.at);
    for (let place = 1; place < sorted.length; place++) {
      const holder = sorted[place - 1] as Given;
      const gaveBack = nacks.some(({ by, at }) => by === holder.by && at >= holder.at - 50);
      const died = ledger.killedAt.get(holder.by) ?? Number.POSITIVE_INFINITY;
      // He held it when he was killed, or his time was over before he told that he had given it back.
      if (gaveBack || died <= (sorted[place] as Given).at) continue;
      twice++;
      if (twice <= 5) yield `${id} was given out again although its holder lived`;
    }
  }
  if (orderly) yield* outOfOrder(messages, ledger);
}

/** A message that is given out after one behind it in its group was acknowledged. */
function* outOfOrder(messages: number, ledger: Ledger): Generator<string> {
  for (let chain = 0; chain < chains; chain++) {
    let lowestAck = Number.POSITIVE_INFINITY;
    const indices: number[] = [];
    for (let index = chain; index < messages; index += chains) indices.push(index);
    for (const index of indices.reverse()) {
      const { given, acks } = ledger.fate(String(index));
      const late = given.find(({ at }) => at > lowestAck + 100);
      if (late !== undefined)
        yield `${index} was given out after a later one of c${chain} was done`;
      lowestAck = Math.min(lowestAck, ...acks);
    }
  }
}

const forgets: readonly Patch[] = [
  {
    file: "src/broker/consuming/give-out.ts",
    find: "      if (delivery !== undefined && delivery.until > this.#now) {",
    replace: "      if (delivery !== undefined && (delivery.held || delivery.until > this.#now)) {",
  },
];
const impatient: readonly Patch[] = [
  {
    file: "src/broker/consuming/give-out.ts",
    find: "    const until = this.#now + this.#wanted.invisibleMs;",
    replace: "    const until = this.#now + 1;",
  },
];
const disorderly: readonly Patch[] = [
  {
    file: "src/broker/consuming/give-out.ts",
    find: "          if (hash !== 0 && this.#blocked.has(hash)) {",
    replace: "          if (hash === -1) {",
  },
];

const isFine =
  controlOnly ||
  judge(
    "every message is acknowledged or dead, given out again only where it had to be",
    (await run([], whole)).length === 0,
  );
const few = { messages: Math.min(whole.messages, 20_000), kills: Math.min(whole.kills, 5) };
const forgotten = judge(
  "a server that forgets what dead consumers held is caught",
  (await run(forgets, few)).length > 0,
);
const doubled = judge(
  "a server that gives out what somebody holds is caught",
  (await run(impatient, few)).length > 0,
);
const disordered =
  !orderly ||
  judge(
    "a server that gives out what waits for an earlier message of its group is caught",
    (await run(disorderly, few)).length > 0,
  );
finish(isFine && forgotten && doubled && disordered);
