/*
 * Transactions over HTTP whose producer is killed: each is a process that dies at one of some points, or lives. Another
 * process of its group answers the checks from their local database. At the end every half has ended as that says, and
 * what was committed is in the log exactly once.
 *
 *   node --import tsx scripts/transaction-kills.ts [--seed N] [--rounds 1000] [--control]
 *
 * `--rounds` is the number of transactions. Control: a server whose commit leaves the half open.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { readCommandLine, say } from "./audit/command-line.ts";
import { makeTopic } from "./audit/delayed.ts";
import { disagreements, type Plan, runClient, type Shop, untilAllEnded } from "./audit/halves.ts";
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

const { rounds, controlOnly, random } = readCommandLine("transaction-kills", { rounds: 1_000 });

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
    const shop: Shop = { url: server.url, topic, queues, group, database };
    const waiting = [...plans];
    await Promise.all(
      Array.from({ length: clientsAtOnce }, async () => {
        for (let plan = waiting.shift(); plan !== undefined; plan = waiting.shift()) {
          const died = await runClient(shop, plan);
          if (died) killed.set(plan.dieAt, (killed.get(plan.dieAt) ?? 0) + 1);
        }
      }),
    );
    await untilAllEnded(shop);
    asking.over = true;
    await answering;
    const violations = [...asking.violations, ...(await disagreements(shop, plans))];
    printTable(points.map((point) => ({ "killed at": point, times: killed.get(point) ?? 0 })));
    printTable([{ transactions: count, "checks answered": asking.answered }]);
    printViolations(violations);
    await server.stop();
    return { violations, hits: killed };
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
