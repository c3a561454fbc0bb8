/*
 * Producers behind a proxy that loses replies and lets first attempts arrive after their retries, in front of two
 * servers on one data folder. Whatever an attempt went through, and through whichever server, its batch lands once, and
 * every answer to it tells the same place.
 *
 *   node --import tsx scripts/retry-proxy.ts [--seed N] [--rounds 200] [--control]
 *
 * The load lasts until at least `--rounds` first attempts lost their replies, as many came late, and as many batches
 * were answered by both servers. Control: the same with attempts that do not look back, which has to show doubles.
 */
import { seededRandom } from "../src/adapters/faulty/faults.ts";
import { mutants } from "../test/simulator/mutants.ts";
import { audit } from "./audit/audit.ts";
import { readCommandLine, say } from "./audit/command-line.ts";
import { callJson, expectJson, oneConnection } from "./audit/http.ts";
import { expectedErrors, Ledger, type Sending } from "./audit/ledger.ts";
import { settle } from "./audit/producer.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import { batchIdOf, RetryProxy } from "./audit/retry-proxy.ts";
import { buildServer, finish, ServerProcess, withFolder } from "./audit/server-process.ts";
import { newSending } from "./audit/workload.ts";

const producers = 16;
const queues = 4;
const topic = "orders";
const messagesMax = 6;
/** Segments so small that retries have to find what lies in one that was sealed, and archived, meanwhile. */
const serverOptions = ["--segment-rows", "30", "--archive-min-bytes", "0"];
const sealEveryMsMax = 1_000;
/** Where the proxy has not seen enough by then, the run ends without (ms). */
const loadMsMax = 60_000;

const { seed, rounds, controlOnly, random } = readCommandLine("retry-proxy", { rounds: 200 });

interface Run {
  readonly servers: readonly ServerProcess[];
  readonly proxy: RetryProxy;
  readonly ledger: Ledger;
  going: boolean;
  seals: number;
}

interface Outcome {
  readonly violations: readonly string[];
  readonly seen: RetryProxy["seen"];
}

async function retryThroughProxy(bundle: string): Promise<Outcome> {
  return withFolder(async (data) => {
    const options = { bundle, data, options: serverOptions };
    const first = await ServerProcess.start(options);
    const servers = [first, await ServerProcess.start(options)];
    await expectJson(first.url, "PUT", `/v1/topics/${topic}`, { queues });
    const proxy = await RetryProxy.listen(servers.map(({ url }) => url));
    const run: Run = { servers, proxy, ledger: new Ledger(), going: true, seals: 0 };
    await load(run);
    await proxy.close();
    hearKeptReplies(run);
    const violations = [...(await auditAll(run)), ...run.ledger.violations, ...proxy.violations];
    printViolations(violations);
    return { violations, seen: proxy.seen };
  });
}

/** Until enough was seen. */
async function load(run: Run): Promise<void> {
  const until = performance.now() + loadMsMax;
  const loads = Array.from({ length: producers }, (_, i) => produce(run, i));
  const sealing = sealNowAndThen(run);
  while (!isEnough(run.proxy) && performance.now() < until) await pause(50);
  run.going = false;
  await Promise.all([...loads, sealing]);
}

function isEnough({ seen }: Pick<RetryProxy, "seen">): boolean {
  return Math.min(seen.firstsDropped, seen.heldBack, seen.answeredByAll) >= rounds;
}

/** One batch after the other, each until it is answered. From dice of his own, so that he sends the same each time. */
async function produce(run: Run, number: number): Promise<void> {
  const agent = oneConnection();
  const own = seededRandom(seed + number);
  const workload = { random: own, topic, queues, withIdShare: 1, hotShare: 0.5, messagesMax };
  while (run.going) {
    const sending = newSending(workload, run.ledger, `p${number}`);
    await settle(agent, run.proxy.url, run.ledger, sending);
  }
  agent.destroy();
}

/** Rows that move to another segment must still be found. */
async function sealNowAndThen(run: Run): Promise<void> {
  while (run.going) {
    await pause(random() * sealEveryMsMax);
    const url = run.servers[random() < 0.5 ? 0 : 1]?.url ?? "";
    const path = `/v1/topics/${topic}/seal`;
    const { status, json } = await callJson<{ code?: string } | undefined>(url, "POST", path);
    const code = json?.code ?? `${status}`;
    if (status < 300) run.seals++;
    else if (!expectedErrors.includes(code))
      run.ledger.violations.push(`a seal was answered with ${code}`);
  }
}

/** Not before the end: a producer is done when he was answered himself. */
function hearKeptReplies({ proxy, ledger }: Run): void {
  const byId = new Map<string | undefined, Sending>();
  for (const sending of ledger.sendings) byId.set(batchIdOf(sending.call), sending);
  for (const { batchId, reply } of proxy.keptReplies) {
    const sending = byId.get(batchId);
    if (sending === undefined) ledger.violations.push("a batch was answered that nobody sent");
    else ledger.hear(sending, reply);
  }
}

/** What either server shows, and that both end in order. */
async function auditAll({ servers, proxy, ledger, seals }: Run): Promise<readonly string[]> {
  const audited = servers.map(({ url }) => audit({ url, topic, queues }, ledger));
  const audits = await Promise.all(audited);
  const { firstsDropped, retriesDropped, heldBack, answeredByAll } = proxy.seen;
  const row = {
    batches: ledger.sendings.length,
    attempts: ledger.attempts,
    "first replies dropped": firstsDropped,
    "later ones": retriesDropped,
    "first came late": heldBack,
    "answered by both": answeredByAll,
    acknowledged: ledger.count("acknowledged"),
    "in the log": audits[0]?.messages ?? 0,
    seals,
  };
  printTable([row]);
  const errors = [...ledger.errors].map(([code, count]) => `${count} ${code}`).join(", ");
  say(`  errors told: ${errors || "none"}`);
  const stopped = await Promise.all(servers.map((server) => server.stop()));
  const exits = stopped.filter(({ code }) => code !== 0).map(({ code }) => `it ended with ${code}`);
  return [...audits.flatMap((one) => one.violations), ...exits];
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function real(): Promise<boolean> {
  say("the server as it is, twice on one folder");
  const { violations, seen } = await retryThroughProxy(await buildServer("retry-plain"));
  return [
    judge("nothing lost, nothing twice, every answer tells the same", violations.length === 0),
    judge(
      `${seen.firstsDropped} first replies dropped, ${seen.heldBack} first attempts after their retry, ${seen.answeredByAll} batches answered by both: ${rounds} of each demanded`,
      isEnough({ seen }),
    ),
  ].every(Boolean);
}

async function control(): Promise<boolean> {
  const known = mutants.find(({ name }) => name === "an attempt that does not look back");
  if (known === undefined) throw new Error("the known bug is not in the list of mutants");
  say(`control: ${known.name}`);
  const bundle = await buildServer("retry-control", known.patches);
  const { violations } = await retryThroughProxy(bundle);
  return [
    judge(
      "the audit sees doubles",
      violations.some((text) => text.includes("a second time")),
    ),
    judge(
      "and answers that disagree",
      violations.some((text) => text.includes("attempts disagree")),
    ),
  ].every(Boolean);
}

const passed = controlOnly || (await real());
const caught = await control();
finish(passed && caught);
