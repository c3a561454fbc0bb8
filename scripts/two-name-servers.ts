/*
 * Two brokers and two name servers on one machine, a topic that both brokers share, and an application that knows nothing but
 * the name servers. One name server is killed, then one broker, then both come back, the name server empty.
 *
 *   node --import tsx scripts/two-name-servers.ts [--seed N] [--outage 10] [--control]
 *
 * `--outage`: how long the broker is away (s). Demanded: no acknowledged message is lost; no send is rejected that a deadline
 * of 3 s leaves room for; the group's lag is 0 within twice the outage after all is back; a name server that comes back
 * empty knows all after one beat. A send that the killed broker had taken and not answered is not tried at the other
 * one, for it would land twice: such sends are rejected with an unknown outcome, and counted apart. At most as many as were on their
 * way when the broker was killed.
 * Control: a client that does not avoid the broker that failed, and tries again there.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { nameServerLimits } from "../src/nameserver/limits.ts";
import { readCommandLine, say } from "./audit/command-line.ts";
import { askJson, expectJson } from "./audit/http.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";
import type { LoadOptions, SharedTopicLoad } from "./audit/shared-topic-client.ts";

const topic = "orders";
const group = "readers";
const queues = 4;
const steadyMs = 4_000;
const deadlineMs = 3_000;
const producers = 3;
const atOnce = 8;

const { outage, controlOnly } = readCommandLine("two-name-servers", { outage: 10 });
const outageMs = outage * 1_000;

const client = "scripts/audit/shared-topic-client.ts";
const staysWithTheFailed: readonly Patch[] = [
  {
    file: "src/client/deliver.ts",
    find: "if (placement === undefined || !attempt.outcomeUnknown) placement = await place();",
    replace: "placement ??= await place();",
  },
  {
    file: "src/client/endpoint.ts",
    find: "return this.#clock.now() >= this.#avoidUntil;",
    replace: "return true;",
  },
];

type Loads = { readonly SharedTopicLoad: new (options: LoadOptions) => SharedTopicLoad };

/** A name server as a process of its own, at a port that it keeps when it is started again. */
class NameServerProcess {
  url = "";
  #child: ChildProcess | undefined;
  readonly #bundle: string;

  constructor(bundle: string) {
    this.#bundle = bundle;
  }

  /** The first time nobody waits for it to have heard of all. Later it waits as it always does: with less, it told clients a route without the broker whose beat was still to come. */
  async start(): Promise<void> {
    const isFirst = this.url === "";
    const port = isFirst ? "0" : new URL(this.url).port;
    const settle = isFirst ? ["--settle-ms", "0"] : [];
    const args = [this.#bundle, "nameserver", "--port", port, ...settle];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#child = child;
    started.push(child);
    const [line] = await once(child.stdout, "data");
    this.url = /listens on (\S+)/.exec(String(line))?.[1] ?? "";
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  /** The brokers that it knows and that are alive; none while it does not answer. */
  async alive(): Promise<string[]> {
    const answer = await askJson<{ brokers: { name: string; stale: boolean }[] }>(
      this.url,
      "GET",
      "/v1/brokers",
    ).catch(() => undefined);
    const brokers = answer?.json.brokers ?? [];
    return brokers.filter(({ stale }) => !stale).map(({ name }) => name);
  }
}

const started: ChildProcess[] = [];
process.on("exit", () => {
  for (const child of started) child.kill("SIGKILL");
});

interface Outcome {
  readonly sent: number;
  readonly lost: readonly string[];
  readonly rejected: readonly string[];
  readonly unknown: number;
  readonly slowestMs: number;
  readonly lagGoneMs: number | undefined;
  readonly knowsAgainMs: number | undefined;
  readonly duringOutage: number;
  readonly twice: number;
}

async function run(bundles: {
  readonly server: string;
  readonly cli: string;
  readonly client: string;
}): Promise<Outcome> {
  return withFolder(async (folder) => {
    const nameServers = [new NameServerProcess(bundles.cli), new NameServerProcess(bundles.cli)];
    await Promise.all(nameServers.map((one) => one.start()));
    const urls = nameServers.map(({ url }) => url);
    const [first] = nameServers;
    const begin = async (name: string, port = 0) => {
      const data = join(folder, name);
      await mkdir(data, { recursive: true });
      const options = ["--name", name, "--name-servers", urls.join()];
      return ServerProcess.start({ bundle: bundles.server, data, port, options });
    };
    const [a, b] = await Promise.all([begin("a"), begin("b")]);
    for (const { url } of [a, b])
      await expectJson(url, "PUT", `/v1/topics/${topic}`, { queues, shared: true });
    await until(async () => {
      const routes = urls.map((url) =>
        askJson<{ queues?: object[] }>(url, "GET", `/v1/routes/${topic}`),
      );
      return (await Promise.all(routes)).every(({ json }) => json.queues?.length === 2 * queues);
    }, 30_000);

    const { SharedTopicLoad: Load } = (await import(pathToFileURL(bundles.client).href)) as Loads;
    const load = new Load({
      nameServers: urls,
      topic,
      group,
      producers,
      consumers: 2,
      atOnce,
      everyMs: 5,
      invisibleMs: 5_000,
      deadlineMs,
    });
    await pause(steadyMs);
    await first?.kill();
    await pause(steadyMs);
    const killedAt = Date.now();
    await b.kill();
    await pause(outageMs);
    const during = [...load.acknowledged.values()].filter(({ at }) => at > killedAt).length;
    const backAt = performance.now();
    await Promise.all([first?.start(), begin("b", Number(new URL(b.url).port))]);
    const knowsAgainMs = await until(
      async () => (await first?.alive())?.join() === "a,b",
      nameServerLimits.beatMs,
    );
    await pause(steadyMs);
    await load.stopProducing();
    await until(async () => (await lagOf([a.url, b.url])) === 0, 3 * outageMs);
    const lagGone = (await lagOf([a.url, b.url])) === 0 ? performance.now() - backAt : undefined;
    if (lagGone === undefined) await tellLag([a.url, b.url]);
    await load.stopConsuming();
    const { acknowledged, received, rejected, slowestMs } = load;
    const lost = [...acknowledged.keys()].filter((mark) => !received.has(mark));
    return {
      sent: acknowledged.size,
      lost: lost.map(
        (mark) => `${mark}: acknowledged by ${acknowledged.get(mark)?.broker} and never received`,
      ),
      rejected: rejected
        .filter(({ outcomeUnknown }) => !outcomeUnknown)
        .map(({ mark, error, at }) => `${mark}: ${error}, ${at - killedAt} ms after the kill`),
      unknown: rejected.filter(({ outcomeUnknown }) => outcomeUnknown).length,
      slowestMs: Math.round(slowestMs),
      lagGoneMs: lagGone,
      knowsAgainMs,
      duringOutage: during,
      twice: [...received.values()].filter((times) => times > 1).length,
    };
  });
}

async function lagOf(urls: readonly string[]): Promise<number> {
  const lags = urls.map((url) =>
    askJson<{ total?: number }>(url, "GET", `/v1/groups/${group}/lag/${topic}`).catch(
      () => undefined,
    ),
  );
  const answers = await Promise.all(lags);
  return answers.reduce((sum, answer) => sum + (answer?.json.total ?? 1), 0);
}

async function tellLag(urls: readonly string[]): Promise<void> {
  for (const url of urls) {
    const { json } = await askJson<object>(url, "GET", `/v1/groups/${group}/lag/${topic}`);
    say(`  the lag at ${url}: ${JSON.stringify(json)}`);
  }
}

/** Waits until it holds; answers after how many ms, or `undefined` where it never did. */
async function until(holds: () => Promise<boolean>, msMax: number): Promise<number | undefined> {
  const began = performance.now();
  while (performance.now() - began < msMax) {
    if (await holds()) return Math.round(performance.now() - began);
    await pause(100);
  }
  return undefined;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function print({ lost, rejected, ...outcome }: Outcome): void {
  printTable([
    {
      acknowledged: outcome.sent,
      "in the outage": outcome.duringOutage,
      lost: lost.length,
      rejected: rejected.length,
      "unknown outcome": outcome.unknown,
      "slowest ms": outcome.slowestMs,
      "received twice": outcome.twice,
      "lag 0 after s":
        outcome.lagGoneMs === undefined ? "never" : (outcome.lagGoneMs / 1_000).toFixed(1),
      "knows again after ms": outcome.knowsAgainMs ?? "never",
    },
  ]);
  printViolations([...lost, ...rejected]);
}

const [server, cli] = await Promise.all([
  buildServer("server"),
  buildServer("cli", [], "src/cli/main.ts"),
]);
const results: boolean[] = [];
if (!controlOnly) {
  const right = await run({ server, cli, client: await buildServer("client", [], client) });
  print(right);
  results.push(
    judge("no acknowledged message is lost", right.lost.length === 0 && right.sent > 0),
    judge(`no send is rejected at a deadline of ${deadlineMs} ms`, right.rejected.length === 0),
    judge(
      `only what was on its way to the killed broker has an unknown outcome (at most ${producers * atOnce})`,
      right.unknown <= producers * atOnce,
    ),
    judge("messages were sent all through the outage", right.duringOutage > 0),
    judge(`the lag is 0 within ${2 * outage} s`, (right.lagGoneMs ?? Number.NaN) <= 2 * outageMs),
    judge(
      "the name server that came back empty knows both brokers after one beat",
      right.knowsAgainMs !== undefined,
    ),
  );
}
say("control: a client that does not avoid the broker that failed");
const control = await run({
  server,
  cli,
  client: await buildServer("client-stays", staysWithTheFailed, client),
});
print(control);
results.push(judge("the control is caught: sends are rejected", control.rejected.length > 0));
finish(results.every(Boolean));
