/*
 * Ten commits and rollbacks of one transaction at the same time, to two servers that share a folder: one outcome, the
 * same answer to all who asked for it, `transaction_ended` to the others, and the log agrees.
 *
 *   node --import tsx scripts/transaction-races.ts [--seed N] [--rounds 200] [--control]
 *
 * Control: a server that turns a transaction whatever became of it.
 */
import { readCommandLine, say } from "./audit/command-line.ts";
import { makeTopic, stopAll } from "./audit/delayed.ts";
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
const askers = 10;
const { rounds, controlOnly, random } = readCommandLine("transaction-races", { rounds: 200 });

interface Answer {
  readonly verb: "commit" | "rollback";
  readonly status: number;
  readonly json: {
    readonly code?: string;
    readonly state?: string;
    readonly queue?: number;
    readonly offset?: number;
    readonly details?: { readonly state?: string };
  };
}

interface Outcome {
  readonly violations: readonly string[];
  readonly committed: number;
  readonly rolledBack: number;
}

async function raceAll(bundle: string, count: number): Promise<Outcome> {
  return withFolder(async (data) => {
    const first = await ServerProcess.start({ bundle, data });
    const servers = [first, await ServerProcess.start({ bundle, data })];
    await makeTopic(first.url, topic, 1);
    const violations: string[] = [];
    const places: number[] = [];
    let committed = 0;
    for (let number = 0; number < count; number++) {
      const message = { body: `m${number}`, queue: 0 };
      const prepared = await askJson<{ transactionId: string }>(
        first.url,
        "POST",
        `/v1/topics/${topic}/transactions`,
        { message, producerGroup: "shop" },
      );
      const path = `/v1/transactions/${prepared.json.transactionId}`;
      const answers = await Promise.all(
        Array.from({ length: askers }, async (): Promise<Answer> => {
          const { url } = servers[Math.floor(random() * servers.length)] ?? first;
          const verb = random() < 0.5 ? "commit" : "rollback";
          return { verb, ...(await askJson<Answer["json"]>(url, "POST", `${path}/${verb}`)) };
        }),
      );
      const { json } = await askJson<Answer["json"]>(first.url, "GET", path);
      violations.push(...disagreements(number, answers, json));
      if (json.state === "COMMITTED") committed++;
      if (json.offset !== undefined) places.push(json.offset);
    }
    const range = await askJson<{ queues: { max: number }[] }>(
      first.url,
      "GET",
      `/v1/topics/${topic}`,
    );
    const [queue] = range.json.queues;
    if (queue?.max !== committed || new Set(places).size !== committed)
      violations.push(`${committed} were committed, and the log holds ${queue?.max}`);
    violations.push(...(await stopAll(servers)));
    const rolledBack = count - committed;
    printTable([{ transactions: count, askers, committed, "rolled back": rolledBack }]);
    printViolations(violations);
    return { violations, committed, rolledBack };
  });
}

function disagreements(
  number: number,
  answers: readonly Answer[],
  final: Answer["json"],
): string[] {
  return answers.flatMap(({ verb, status, json }) => {
    const wanted = verb === "commit" ? "COMMITTED" : "ROLLED_BACK";
    const isSame =
      wanted === final.state
        ? status === 200 &&
          json.state === final.state &&
          json.queue === final.queue &&
          json.offset === final.offset
        : status === 409 &&
          json.code === "transaction_ended" &&
          json.details?.state === final.state;
    if (isSame) return [];
    return [`m${number} is ${final.state}, and ${verb} answered ${status} ${JSON.stringify(json)}`];
  });
}

const turnedAnyway: Patch = {
  file: "src/broker/transactions/transaction.ts",
  find: "  const expect = { version: item.version };",
  replace: "  const expect = undefined as never;",
};

async function real(): Promise<boolean> {
  say("the server as it is, twice on one folder");
  const { violations, committed, rolledBack } = await raceAll(
    await buildServer("ends-plain"),
    rounds,
  );
  return [
    judge("one outcome for each, and everybody is told of it", violations.length === 0),
    judge(
      `${committed} were committed and ${rolledBack} rolled back`,
      Math.min(committed, rolledBack) > 0,
    ),
  ].every(Boolean);
}

async function control(): Promise<boolean> {
  say("control: a transaction is turned whatever became of it");
  const bundle = await buildServer("ends-control", [turnedAnyway]);
  const { violations } = await raceAll(bundle, Math.min(rounds, 30));
  return judge("the audit notices", violations.length > 0);
}

const passed = controlOnly || (await real());
const caught = await control();
finish(passed && caught);
