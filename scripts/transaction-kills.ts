/*
 * Transactions over HTTP whose producer is killed: each is a process that dies at one of some points, or lives. Another
 * process of its group answers the checks from their local database. At the end every half has ended as that says, and
 * what was committed is in the log exactly once.
 *
 *   node --import tsx scripts/transaction-kills.ts [--seed N] [--rounds 1000] [--control]
 *
 * `--rounds` is the number of transactions. Control: a server whose commit leaves the half open.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readCommandLine, say } from "./audit/command-line.ts";
import { makeTopic, pause } from "./audit/delayed.ts";
import { askJson } from "./audit/http.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";

const topic = "orders";
const group = "shop";
const queues = 4;
const clientsAtOnce = 4;
const points = ["before prepare", "prepare sent", "prepared", "decided", "end sent", "ended"];
const alive = "not killed";
const hitsMin = 20;
const client = fileURLToPath(new URL("audit/transaction-client.mjs", import.meta.url));

const { rounds, controlOnly, random } = readCommandLine("transaction-kills", { rounds: 1_000 });

interface Plan {
  readonly mark: string;
  readonly verb: "commit" | "rollback";
  readonly dieAt: string;
}

interface Run {
  readonly violations: readonly string[];
  readonly hits: ReadonlyMap<string, number>;
}

async function transactAll(bundle: string, count: number): Promise<Run> {
  return withFolder(async (folder) => {
    const server = await ServerProcess.start({ bundle, data: `${folder}/data` });
    const database = `${folder}/database`;
    mkdirSync(database);
    await makeTopic(server.url, topic, queues);
    await askJson(server.url, "PUT", `/v1/producer-groups/${group}`, { checkEveryMs: 1_000 });
    const plans = Array.from({ length: count }, (_, number): Plan => {
      const dieAt = [...points, alive][number % (points.length + 1)] ?? alive;
      return { mark: `t${number}`, verb: random() < 0.6 ? "commit" : "rollback", dieAt };
    });
    const asking = { over: false, answered: 0, violations: [] as string[] };
    const answering = answerChecks(server.url, database, asking);
    const killed = new Map<string, number>();
    const waiting = [...plans];
    await Promise.all(
      Array.from({ length: clientsAtOnce }, async () => {
        for (let plan = waiting.shift(); plan !== undefined; plan = waiting.shift()) {
          const died = await runClient(server.url, database, plan);
          if (died) killed.set(plan.dieAt, (killed.get(plan.dieAt) ?? 0) + 1);
        }
      }),
    );
    await untilAllEnded(server.url);
    asking.over = true;
    await answering;
    const violations = [
      ...asking.violations,
      ...(await disagreements(server.url, database, plans)),
    ];
    printTable(points.map((point) => ({ "killed at": point, times: killed.get(point) ?? 0 })));
    printTable([{ transactions: count, "checks answered": asking.answered }]);
    printViolations(violations);
    await server.stop();
    return { violations, hits: killed };
  });
}

/** Whether it was killed. */
function runClient(url: string, database: string, plan: Plan): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const given = JSON.stringify({ url, topic, group, database, ...plan });
    const child = spawn(process.execPath, [client, given], { stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.on("close", (code, signal) => {
      if (code === 0 || signal === "SIGKILL") resolve(signal === "SIGKILL");
      else reject(new Error(errors));
    });
  });
}

/** What a member of the group does that lives: ends what it is asked about as the database says; what that does not know is rolled back. */
async function answerChecks(
  url: string,
  database: string,
  asking: { over: boolean; answered: number; readonly violations: string[] },
): Promise<void> {
  while (!asking.over) {
    const path = `/v1/producer-groups/${group}/checks`;
    const { json } = await askJson<{ checks: Check[] }>(url, "POST", path, { waitMs: 500 });
    for (const { transactionId, message } of json.checks) {
      const verb = decisionOf(database, message.messageId);
      const end = `/v1/transactions/${transactionId}/${verb}`;
      const ended = await askJson(url, "POST", end);
      asking.answered++;
      if (ended.status !== 200)
        asking.violations.push(`${message.messageId}: ${verb} answered ${ended.status}`);
    }
  }
}

interface Check {
  readonly transactionId: string;
  readonly message: { readonly messageId: string };
}

/** Decided once, by its producer or here. */
function decisionOf(database: string, mark: string): string {
  const file = `${database}/${mark}`;
  if (!existsSync(file)) {
    try {
      writeFileSync(file, "rollback", { flag: "wx" });
    } catch {
      // Its producer decided meanwhile.
    }
  }
  return readFileSync(file, "utf8");
}

interface Listed {
  readonly transactions: readonly { readonly messageId: string; readonly state: string }[];
  readonly nextCursor?: string;
}

async function listed(url: string, query: string): Promise<Listed["transactions"][number][]> {
  const found: Listed["transactions"][number][] = [];
  let cursor = "";
  do {
    const path = `/v1/transactions?producerGroup=${group}&limit=1000${query}${cursor}`;
    const { json } = await askJson<Listed>(url, "GET", path);
    found.push(...json.transactions);
    cursor = json.nextCursor === undefined ? "" : `&cursor=${json.nextCursor}`;
  } while (cursor !== "");
  return found;
}

async function untilAllEnded(url: string): Promise<void> {
  for (let tries = 0; tries < 30; tries++) {
    if ((await listed(url, "&state=PREPARED")).length === 0) return;
    await pause(500);
  }
}

async function disagreements(
  url: string,
  database: string,
  plans: readonly Plan[],
): Promise<string[]> {
  const states = new Map((await listed(url, "")).map((each) => [each.messageId, each.state]));
  const counts = await messageCounts(url);
  return plans.flatMap(({ mark, dieAt }) => {
    const file = `${database}/${mark}`;
    const decided = existsSync(file) ? readFileSync(file, "utf8") : "nothing";
    const state = states.get(mark) ?? "not there";
    const count = counts.get(mark) ?? 0;
    const expected = { commit: "COMMITTED", rollback: "ROLLED_BACK" }[decided] ?? "not there";
    const wrong: string[] = [];
    if (state !== expected) wrong.push(`${mark} (${dieAt}): decided ${decided}, and is ${state}`);
    if (count !== (decided === "commit" ? 1 : 0))
      wrong.push(`${mark} (${dieAt}): decided ${decided}, and is in the log ${count} times`);
    return wrong;
  });
}

async function messageCounts(url: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (let queue = 0; queue < queues; queue++) {
    for (let offset = 0, end = false; !end; ) {
      const path = `/v1/topics/${topic}/queues/${queue}/messages?offset=${offset}&max=1000`;
      const { json } = await askJson<{
        messages: { readonly messageId: string }[];
        nextOffset: number;
      }>(url, "GET", path);
      for (const { messageId } of json.messages)
        counts.set(messageId, (counts.get(messageId) ?? 0) + 1);
      end = json.messages.length === 0;
      offset = json.nextOffset;
    }
  }
  return counts;
}

const leftOpen: Patch = {
  file: "src/broker/transactions/transactions.ts",
  find: "          return [turned(io, item, committed), check];",
  replace:
    '          return [{ kind: "check", key: item.key, expect: { version: item.version } }, check];',
};

async function real(): Promise<boolean> {
  say("the server as it is, producers that are killed");
  const { violations, hits } = await transactAll(await buildServer("halves-plain"), rounds);
  const fewest = Math.min(...points.map((point) => hits.get(point) ?? 0));
  const demanded = Math.min(hitsMin, Math.floor(rounds / (points.length + 1)));
  return [
    judge(
      "every half ended as its database says, once in the log or never",
      violations.length === 0,
    ),
    judge(`each point was hit ${fewest} times, ${demanded} demanded`, fewest >= demanded),
  ].every(Boolean);
}

async function control(): Promise<boolean> {
  say("control: a commit leaves the half open");
  const bundle = await buildServer("halves-control", [leftOpen]);
  const { violations } = await transactAll(bundle, Math.min(rounds, 42));
  return judge("the audit notices", violations.length > 0);
}

const passed = controlOnly || (await real());
const caught = await control();
finish(passed && caught);
