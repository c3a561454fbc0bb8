/*
 * Filters of a group, and dead letters that are consumed once more, over two servers on one folder.
 *
 *   node --import tsx scripts/filters-and-redrive.ts [--seed N] [--messages 400] [--control]
 *
 * Filters: of two receivers that come to a group at the same moment with different filters one is served and the other
 * one refused (`filter_conflict`), also later and by the other server; who is served gets what its filter wants and
 * nothing else, and the committed offsets pass over the rest. Redrive: a group has all its messages die; two redrives
 * run at once, again and again, one at each server. Each message comes again to the group, once; what they say that they
 * moved adds up to what was dead; other groups of the topic, one that receives and one that polls, and whoever pulls,
 * see nothing new. Controls: no filter is refused; what is redriven goes into the topic itself; two redrives do not look
 * who was faster.
 */
import { readCommandLine, say } from "./audit/command-line.ts";
import { pause, stopAll } from "./audit/delayed.ts";
import { askJson, expectJson } from "./audit/http.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";

const queues = 4;
const tags = ["red", "green", "blue"] as const;
const { controlOnly, messages, random } = readCommandLine("filters-and-redrive", { messages: 400 });
/** So long after the last one somebody waits for more. */
const quietMs = 1_500;

interface Message {
  readonly body: string;
  readonly tag?: string;
  readonly queue: number;
  readonly offset: number;
  readonly receiptHandle: string;
  readonly deliveryAttempt: number;
}

interface Messages {
  readonly messages: readonly Message[];
}

interface Poll extends Messages {
  readonly generation: number;
  readonly next: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** Two servers on one folder, either of which may be asked. */
class Servers {
  readonly urls: readonly string[];

  constructor(urls: readonly string[]) {
    this.urls = urls;
  }

  any(): string {
    return this.urls[Math.floor(random() * this.urls.length)] ?? "";
  }

  async send(topic: string, count: number): Promise<void> {
    await expectJson(this.any(), "PUT", `/v1/topics/${topic}`, { queues });
    for (let first = 0; first < count; first += 100) {
      const some = Array.from({ length: Math.min(100, count - first) }, (_, index) => ({
        body: `${first + index}`,
        tag: tags[(first + index) % tags.length],
        queue: Math.floor(random() * queues),
      }));
      const path = `/v1/topics/${topic}/messages`;
      await expectJson(this.any(), "POST", path, { messages: some });
    }
  }

  async receive(topic: string, group: string): Promise<readonly Message[]> {
    const request = { topic, max: 32, waitMs: 100 };
    return (await this.#post<Messages>(group, "receive", request)).messages;
  }

  async settle(group: string, verb: "ack" | "nack", some: readonly Message[]): Promise<void> {
    const receiptHandles = some.map((each) => each.receiptHandle);
    if (some.length === 0) return;
    const { results } = await this.#post<{ results: readonly { error?: unknown }[] }>(group, verb, {
      receiptHandles,
    });
    for (const { error } of results)
      if (error !== undefined) throw new Error(`${verb}: ${JSON.stringify(error)}`);
  }

  /** Receives and acknowledges until nothing comes any more. */
  async receiveAll(topic: string, group: string): Promise<Message[]> {
    const all: Message[] = [];
    for (let lastAt = Date.now(); Date.now() - lastAt < quietMs; ) {
      const some = await this.receive(topic, group);
      if (some.length > 0) lastAt = Date.now();
      await this.settle(group, "ack", some);
      all.push(...some);
    }
    return all;
  }

  /** Polls and commits until nothing comes any more. */
  async pollAll(topic: string, group: string): Promise<Message[]> {
    const all: Message[] = [];
    const member = { clientId: "one", topics: [topic], waitMs: 100, max: 100 };
    let turn: Partial<{ generation: number; commit: Poll["next"] }> = {};
    for (let lastAt = Date.now(); Date.now() - lastAt < quietMs; ) {
      const told: Poll = await this.#post(group, "poll", { ...member, ...turn });
      if (told.messages.length > 0) lastAt = Date.now();
      all.push(...told.messages);
      turn = { generation: told.generation, commit: told.next };
    }
    return all;
  }

  async pullAll(topic: string): Promise<Message[]> {
    const all: Message[] = [];
    for (let queue = 0; queue < queues; queue++)
      for (let offset = 0, more = true; more; ) {
        const path = `/v1/topics/${topic}/queues/${queue}/messages?offset=${offset}&max=1000`;
        const page = await expectJson<Messages>(this.any(), "GET", path);
        all.push(...page.messages);
        offset += page.messages.length;
        more = page.messages.length > 0;
      }
    return all;
  }

  async deadLetters(group: string): Promise<number> {
    const path = `/v1/groups/${group}/dead-letters?max=1`;
    return (await expectJson<{ maxOffset: number }>(this.any(), "GET", path)).maxOffset;
  }

  #post<T>(group: string, verb: string, value: unknown): Promise<T> {
    return expectJson<T>(this.any(), "POST", `/v1/groups/${group}/${verb}`, value);
  }
}

async function filters(servers: Servers): Promise<readonly string[]> {
  const violations: string[] = [];
  const topic = "filtered";
  await servers.send(topic, messages);
  let refused = 0;
  const rounds = 10;
  for (let round = 0; round < rounds; round++) {
    const group = `filtering-${round}`;
    const path = `/v1/groups/${group}/receive`;
    const wanted = ["red", "green || blue"];
    const ask = async (filter: string, url = servers.any()) => {
      const answer = await askJson<Messages & { code?: string }>(url, "POST", path, {
        ...{ topic, filter, max: 1, invisibleMs: 1_000 },
      });
      return { filter, code: answer.json.code, got: answer.json.messages ?? [] };
    };
    const both = await Promise.all(wanted.map((filter, at) => ask(filter, servers.urls[at])));
    const served = both.filter(({ code }) => code === undefined);
    const [winner] = served;
    if (served.length !== 1 || winner === undefined) {
      violations.push(`${group}: ${served.length} of two filters are served`);
      continue;
    }
    const loser = wanted.find((each) => each !== winner.filter) ?? "";
    for (const url of [...servers.urls, ...servers.urls]) {
      const { code } = await ask(loser, url);
      if (code === "filter_conflict") refused++;
      else violations.push(`${group}: another filter is answered with ${code ?? "messages"}`);
    }
    // What the first request was given expires and comes again.
    const all = [...(await servers.receiveAll(topic, group))];
    const bodies = new Set(all.map(({ body }) => body));
    const expected = new Set(
      Array.from({ length: messages }, (_, id) => id)
        .filter((id) => winner.filter.split(" || ").includes(tags[id % tags.length] ?? ""))
        .map(String),
    );
    if (bodies.size !== expected.size || [...bodies].some((body) => !expected.has(body)))
      violations.push(
        `${group}: ${bodies.size} came of ${expected.size} that ${winner.filter} wants`,
      );
    const offsetsPath = `/v1/groups/${group}/offsets/${topic}`;
    const { offsets } = await expectJson<{ offsets: Record<string, number> }>(
      servers.any(),
      "GET",
      offsetsPath,
    );
    const told = await expectJson<{ queues: { queue: number; max: number }[] }>(
      servers.any(),
      "GET",
      `/v1/topics/${topic}`,
    );
    for (const { queue, max } of told.queues)
      if (offsets[queue] !== max)
        violations.push(`${group}: queue ${queue} ends at ${max}, committed is ${offsets[queue]}`);
  }
  printTable([{ groups: rounds, "refused later": refused, messages }]);
  printViolations(violations);
  return violations;
}

async function redrives(servers: Servers): Promise<readonly string[]> {
  const violations: string[] = [];
  const topic = "redriven";
  const [dying, receiving, polling] = ["dying", "receiving", "polling"];
  await servers.send(topic, messages);
  await expectJson(servers.any(), "PUT", `/v1/groups/${dying}`, { maxAttempts: 1 });
  const before = {
    received: (await servers.receiveAll(topic, receiving)).length,
    polled: (await servers.pollAll(topic, polling)).length,
    pulled: (await servers.pullAll(topic)).length,
  };
  for (let given = 0; given < messages; ) {
    const some = await servers.receive(topic, dying);
    given += some.length;
    await servers.settle(dying, "nack", some);
  }
  const deadBy = Date.now() + 10 * quietMs;
  while ((await servers.deadLetters(dying)) < messages && Date.now() < deadBy) await pause(100);
  const dead = await servers.deadLetters(dying);
  if (dead !== messages) violations.push(`${dead} of ${messages} are dead`);
  const moved: number[] = [];
  const redrive = async (url: string) => {
    for (let idle = 0; idle < 3; ) {
      const max = 1 + Math.floor(random() * 40);
      const path = `/v1/groups/${dying}/redrive`;
      const { status, json } = await askJson<{ moved: number }>(url, "POST", path, { max });
      if (status !== 200) violations.push(`a redrive was answered with ${status}`);
      moved.push(json.moved ?? 0);
      idle = json.moved === 0 ? idle + 1 : 0;
    }
  };
  await Promise.all(servers.urls.flatMap((url) => [redrive(url), redrive(url)]));
  const again = await servers.receiveAll(topic, dying);
  const total = moved.reduce((sum, each) => sum + each, 0);
  const once = new Set(again.map(({ body }) => body));
  if (total !== messages) violations.push(`${total} of ${messages} dead letters were moved`);
  if (once.size !== messages) violations.push(`${once.size} of ${messages} came again`);
  if (again.length !== once.size)
    violations.push(`${again.length - once.size} came more than once after two redrives`);
  for (const { body, deliveryAttempt } of again)
    if (deliveryAttempt !== 1) violations.push(`${body} came again as attempt ${deliveryAttempt}`);
  const others = {
    received: (await servers.receiveAll(topic, receiving)).length,
    polled: (await servers.pollAll(topic, polling)).length,
    pulled: (await servers.pullAll(topic)).length - before.pulled,
  };
  for (const [how, count] of Object.entries(others))
    if (count > 0) violations.push(`${count} that were redriven are ${how} by others`);
  for (const [how, count] of Object.entries(before))
    if (count !== messages) violations.push(`${count} of ${messages} were ${how} at first`);
  printTable([
    { messages, redrives: moved.length, moved: total, "came again": again.length, ...others },
  ]);
  printViolations(violations);
  return violations;
}

async function run(
  name: string,
  part: (servers: Servers) => Promise<readonly string[]>,
  patches: readonly Patch[] = [],
): Promise<readonly string[]> {
  const bundle = await buildServer(`filters-${name}`, patches);
  return withFolder(async (data) => {
    const processes = [
      await ServerProcess.start({ bundle, data }),
      await ServerProcess.start({ bundle, data }),
    ];
    const violations = await part(new Servers(processes.map(({ url }) => url)));
    return [...violations, ...(await stopAll(processes))];
  });
}

const noFilterRefused: Patch = {
  file: "src/broker/consuming/groups.ts",
  find: "      expectFilter(group, asked);",
  replace: "      void expectFilter;",
};
const intoTheTopic: Patch = {
  file: "src/broker/consuming/leaving.ts",
  find: "deadLetter === undefined ? retryTopicOf(group.name) : deadLetterTopicOf(group.name);",
  replace:
    "deadLetter === undefined ? (void retryTopicOf, topic.name) : deadLetterTopicOf(group.name);",
};
const notLooking: Patch = {
  file: "src/broker/consuming/queue-states.ts",
  find: 'const put: Write = { kind: "put", key, value: made.value, version, expect };',
  replace:
    'void expect;\n      const put: Write = { kind: "put", key, value: made.value, version };',
};

async function real(): Promise<boolean> {
  say("filters, the server as it is, twice on one folder");
  const ofFilters = await run("plain", filters);
  say("redrives, the same");
  const ofRedrives = await run("plain", redrives);
  return [
    judge("a group has one filter, and its offsets pass over the rest", ofFilters.length === 0),
    judge("what is redriven comes again to its group alone, once", ofRedrives.length === 0),
  ].every(Boolean);
}

async function control(
  says: string,
  part: (servers: Servers) => Promise<readonly string[]>,
  patch: Patch,
  sign: string,
): Promise<boolean> {
  say(`control: ${says}`);
  const violations = await run("control", part, [patch]);
  return judge(
    "the audit notices",
    violations.some((text) => text.includes(sign)),
  );
}

const passed = controlOnly || (await real());
const caught = [
  await control("no filter is refused", filters, noFilterRefused, "of two filters are served"),
  await control("what is redriven goes into the topic", redrives, intoTheTopic, "by others"),
  await control("redrives do not look who was faster", redrives, notLooking, "more than once"),
].every(Boolean);
finish(passed && caught);
