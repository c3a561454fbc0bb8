/*
 * What the local server makes of a disk that is full or has changed a byte, and of a start that cannot succeed.
 *
 *   node --import tsx scripts/bad-disk.ts [--seed N]
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { limits } from "../src/broker/limits.ts";
import { audit } from "./audit/audit.ts";
import { readCommandLine, say } from "./audit/command-line.ts";
import { fingerprint, flip } from "./audit/damage.ts";
import { callJson, expectJson, oneConnection } from "./audit/http.ts";
import { Ledger } from "./audit/ledger.ts";
import { attempt } from "./audit/producer.ts";
import { judge, printViolations } from "./audit/report.ts";
import { littleRoom, type Room } from "./audit/room.ts";
import { buildServer, finish, ServerProcess, withFolder } from "./audit/server-process.ts";
import { newSending } from "./audit/workload.ts";

const { random } = readCommandLine("bad-disk", { rounds: 1 });
const bundle = await buildServer("bad-disk");
const verdicts: boolean[] = [];
const topic = "orders";

interface ErrorAnswer {
  readonly code?: string;
  readonly message?: string;
}

interface PullAnswer extends ErrorAnswer {
  readonly messages?: readonly { readonly offset: number; readonly body: string }[];
  readonly nextOffset?: number;
}

interface SendAnswer extends ErrorAnswer {
  readonly results?: readonly { readonly offset: number }[];
}

function demand(what: string, met: boolean): void {
  verdicts.push(judge(what, met));
}

async function littleDisk(folder: string): Promise<void> {
  const room = await littleRoom(folder);
  say(`a full disk: ${room.how}`);
  try {
    await fullDisk(room);
  } finally {
    room.close();
  }
}

async function fullDisk(room: Room): Promise<void> {
  const queues = 3;
  const server = await ServerProcess.start({ bundle, ...room });
  await expectJson(server.url, "PUT", `/v1/topics/${topic}`, { queues });
  const ledger = new Ledger();
  const audited = { url: server.url, topic, queues };

  const refused = await sendUntilRefused(server.url, ledger);
  say(`  ${ledger.count("acknowledged")} messages were acknowledged before`);
  say(`  then: ${refused.status} ${JSON.stringify(refused.json)}`);
  const { code, message = "" } = refused.json;
  demand(
    "sends are refused as unavailable, and told why",
    isRefusal(refused.status, code, message),
  );
  const full = await audit(audited, ledger);
  printViolations(full.violations);
  demand("while it is full all that was acknowledged can be read", full.violations.length === 0);

  room.makeRoom(server.pid);
  const before = ledger.count("acknowledged");
  await sendMany(server.url, ledger, 50);
  const more = ledger.count("acknowledged") - before;
  demand(`with room sends work again, without a restart: ${more} messages`, more > 50);
  const later = await audit(audited, ledger);
  const { code: exit } = await server.stop();
  const again = await ServerProcess.start({ bundle, data: room.data });
  const restarted = await audit({ ...audited, url: again.url }, ledger);
  const wrong = [...later.violations, ...restarted.violations, ...ledger.violations];
  printViolations(wrong);
  demand("nothing is lost, before a restart and after it", wrong.length === 0 && exit === 0);
  await again.stop();
}

function isRefusal(status: number, code = "", message = ""): boolean {
  return status === 503 && code === "unavailable" && /takes no writes|full|space/.test(message);
}

/** Fills the disk; answers what a send is told once several in a row were refused. */
async function sendUntilRefused(url: string, ledger: Ledger) {
  for (let tries = 0; tries < 200 && ledger.count("refused") < 100; tries++)
    await sendMany(url, ledger, 50);
  const messages = [{ body: "x".repeat(100_000) }];
  return callJson<ErrorAnswer>(url, "POST", `/v1/topics/${topic}/messages`, { messages });
}

async function sendMany(url: string, ledger: Ledger, count: number): Promise<void> {
  const workload = { random, topic, queues: 3, withIdShare: 0.5, hotShare: 0.2 };
  const agents = Array.from({ length: 5 }, oneConnection);
  await Promise.all(
    agents.map(async (agent, i) => {
      for (let sent = 0; sent < count / agents.length; sent++)
        await attempt(agent, url, ledger, newSending(workload, ledger, `p${i}`));
      agent.destroy();
    }),
  );
}

/** Sends one batch of three messages whose bodies name their batch. */
async function sendThree(url: string, queue: number, name: string, more: object = {}) {
  const messages = ["a", "b", "c"].map((part) => ({ body: `${name}-${part}-end`, queue }));
  return callJson<SendAnswer>(url, "POST", `/v1/topics/${topic}/messages`, { messages, ...more });
}

function pull(url: string, queue: number, offset: number) {
  const path = `/v1/topics/${topic}/queues/${queue}/messages?offset=${offset}`;
  return callJson<PullAnswer>(url, "GET", path);
}

async function flippedBody(data: string): Promise<void> {
  say(
    "a flipped byte in a body: the third of five batches in queue 0, the last of three in queue 1",
  );
  const first = await ServerProcess.start({ bundle, data });
  await expectJson(first.url, "PUT", `/v1/topics/${topic}`, { queues: 3 });
  for (let i = 0; i < 5; i++) await sendThree(first.url, 0, `zero${i}`);
  for (let i = 0; i < 3; i++) await sendThree(first.url, 1, `one${i}`);
  for (let i = 0; i < 3; i++) await sendThree(first.url, 2, `two${i}`);
  await first.stop();
  const file = join(data, "store.mdb");
  const flips = [await flip(file, "zero2-b-end"), await flip(file, "one2-b-end")];
  say(`  flipped in ${flips.join(" and ")} places`);

  const { url, ...server } = await startOver(data);
  await flippedReads(url);
  await flippedSends(url);
  const health = await callJson(url, "GET", "/v1/health");
  demand("the server lives", server.process.alive && health.status === 200);
  const { code } = await server.process.stop();
  demand(`and ends in order (${code})`, code === 0);
  say(`  it logged ${server.process.errors.split("\n").filter(Boolean).length} lines`);
}

async function startOver(data: string) {
  const process = await ServerProcess.start({ bundle, data });
  return { url: process.url, process };
}

async function flippedReads(url: string): Promise<void> {
  const inBatch = await Promise.all([6, 7, 8].map((offset) => pull(url, 0, offset)));
  const told = inBatch.map(({ status, json }) => `${status} ${json.code}`).join(", ");
  demand(`pulls of that batch are told it is corrupt (${told})`, inBatch.every(isCorrupt));
  const one = await callJson<ErrorAnswer>(url, "GET", `/v1/topics/${topic}/queues/0/messages/7`);
  demand(`so is who asks for the one message (${one.status} ${one.json.code})`, isCorrupt(one));
  const parts = await Promise.all([
    pull(url, 0, 0),
    pull(url, 0, 9),
    pull(url, 1, 0),
    pull(url, 2, 0),
  ]);
  const lengths = parts.map(({ json }) => json.messages?.length ?? json.code);
  demand(
    `everything else can be read (${lengths} messages)`,
    JSON.stringify(lengths) === "[6,6,6,9]",
  );
}

async function flippedSends(url: string): Promise<void> {
  // By then what is damaged was stored before anything that an attempt made from now on looks back to.
  await setTimeout(4 * limits.clockErrorMsMax + 100);
  for (const queue of [0, 1]) {
    const where = queue === 0 ? "in front of it" : "just behind it";
    const plain = await sendThree(url, queue, `new${queue}`);
    const expected = queue === 0 ? 15 : 9;
    const offset = plain.json.results?.[0]?.offset;
    demand(
      `sends to the queue go on, ${where} (${plain.status} ${plain.json.code ?? offset})`,
      plain.status === 200 && offset === expected,
    );
    const withId = await sendThree(url, queue, `id${queue}`, newId(Date.now()));
    demand(`also with an id (${withId.status} ${withId.json.code ?? "ok"})`, withId.status === 200);
    const retry = await sendThree(url, queue, `retry${queue}`, newId(Date.now() - 60_000));
    demand(
      `an attempt that has to look back over it is told that nobody knows (${retry.status} ${retry.json.code ?? "ok"})`,
      retry.json.code === "outcome_unknown",
    );
  }
}

function newId(firstAttemptAt: number) {
  const digits = Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16));
  return { batchId: digits.join(""), firstAttemptAt };
}

function isCorrupt({ status, json }: { status: number; json: ErrorAnswer }): boolean {
  return status === 500 && json.code === "corrupt";
}

async function flippedTopic(data: string): Promise<void> {
  say("a flipped byte in the record of a topic");
  const first = await ServerProcess.start({ bundle, data });
  await expectJson(first.url, "PUT", `/v1/topics/${topic}`, {});
  await expectJson(first.url, "PUT", "/v1/topics/damaged", {});
  await sendThree(first.url, 0, "kept");
  await first.stop();
  const places = await flip(join(data, "store.mdb"), '"name":"damaged');
  say(`  flipped in ${places} places`);

  const { url, process } = await startOver(data);
  const messages = [{ body: "x" }];
  const asked = await Promise.all([
    callJson<ErrorAnswer>(url, "GET", "/v1/topics/damaged"),
    callJson<ErrorAnswer>(url, "POST", "/v1/topics/damaged/messages", { messages }),
    callJson<ErrorAnswer>(url, "GET", "/v1/topics/damaged/queues/0/messages?offset=0"),
    callJson<ErrorAnswer>(url, "PUT", "/v1/topics/damaged", {}),
  ]);
  const told = asked.map(({ status, json }) => `${status} ${json.code}`).join(", ");
  demand(
    `that topic is corrupt to look at, send to, pull from, make (${told})`,
    asked.every(isCorrupt),
  );
  const kept = await pull(url, 0, 0);
  const sent = await sendThree(url, 0, "more");
  const made = await callJson(url, "PUT", "/v1/topics/another", {});
  const good = kept.json.messages?.length === 3 && sent.status === 200 && made.status === 201;
  demand("the others work, and new ones can be made", good);
  const list = await callJson<ErrorAnswer>(url, "GET", "/v1/topics");
  say(`  note: the list of topics: ${list.status} ${list.json.code ?? "ok"}`);
  demand("the server lives", process.alive && (await process.stop()).code === 0);
}

async function newerFolder(data: string): Promise<void> {
  say("a folder of a newer release, and one whose mark is damaged");
  await (await ServerProcess.start({ bundle, data })).stop();
  for (const mark of ['{"format":99}\n', "not JSON"]) {
    await writeFile(join(data, "tasso.json"), mark);
    const before = await fingerprint(data);
    const server = await ServerProcess.launch({ bundle, data });
    const { code } = await server.exited;
    say(`  ${code}: ${server.errors.trim()}`);
    const clear = /newer release|is damaged/.test(server.errors) && !server.errors.includes(" at ");
    demand("it does not start, says why, and ends with 1", code === 1 && clear);
    demand("nothing was touched", before === (await fingerprint(data)));
  }
}

async function takenPort(folder: string): Promise<void> {
  say("a port that is taken");
  const data = join(folder, "data");
  const first = await ServerProcess.start({ bundle, data });
  await expectJson(first.url, "PUT", `/v1/topics/${topic}`, {});
  await sendThree(first.url, 0, "kept");
  const port = Number(new URL(first.url).port);
  for (const other of [data, join(folder, "other")]) {
    const second = await ServerProcess.launch({ bundle, data: other, port });
    const { code } = await second.exited;
    say(`  ${code}: ${second.errors.trim()}`);
    const clear = second.errors.includes(`port ${port}`) && second.errors.includes("taken");
    demand("the second does not start, says why, and ends with 1", code === 1 && clear);
  }
  const kept = await pull(first.url, 0, 0);
  const sent = await sendThree(first.url, 0, "more");
  demand("the first works on", kept.json.messages?.length === 3 && sent.status === 200);
  await first.stop();
}

await withFolder(littleDisk);
await withFolder(flippedBody);
await withFolder(flippedTopic);
await withFolder(newerFolder);
await withFolder(async (folder) => {
  await mkdir(folder, { recursive: true });
  await takenPort(folder);
});
finish(verdicts.every(Boolean));
