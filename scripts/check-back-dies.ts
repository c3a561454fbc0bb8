/*
 * Producers that are killed between writing their local database and ending the half, or before that. Another process of
 * their group asks for checks and settles each half from the database. At the end every half has ended as that says, and
 * what was committed is in the log exactly once.
 *
 *   node --import tsx scripts/check-back-dies.ts [--seed N] [--rounds 60] [--deployed] [--control]
 *
 * `--rounds` is the number of halves. `--deployed`: against a stack on an emulator of AWS instead of the local server.
 * Control: the other process commits without looking into the database.
 */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readCommandLine, say } from "./audit/command-line.ts";
import { makeTopic } from "./audit/delayed.ts";
import { disagreements, type Plan, runClient, type Shop, untilAllEnded } from "./audit/halves.ts";
import { expectJson } from "./audit/http.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import { buildServer, finish, ServerProcess, withFolder } from "./audit/server-process.ts";
import { withStack } from "./audit/stack.ts";

const topic = "orders";
const group = "shop";
const queues = 4;
const clientsAtOnce = 2;
const checkProcess = fileURLToPath(new URL("audit/check-process.mjs", import.meta.url));
/** Of six halves four are decided and not ended, one is not even decided, and one is ended by its producer. */
const fates = ["decided", "decided", "prepared", "decided", "decided", "not killed"];

const { rounds, controlOnly, random, deployed } = readCommandLine(
  "check-back-dies",
  { rounds: 60 },
  ["deployed"],
);

interface Run {
  readonly violations: readonly string[];
  readonly killed: number;
  readonly settled: number;
}

function withServer<T>(run: (url: string) => Promise<T>): Promise<T> {
  if (deployed) return withStack([], ({ url }) => run(url));
  return withFolder(async (folder) => {
    const bundle = await buildServer("check-back-dies");
    const server = await ServerProcess.start({ bundle, data: folder });
    const result = await run(server.url);
    await server.stop();
    return result;
  });
}

function killAll(count: number, { looks }: { readonly looks: boolean }): Promise<Run> {
  return withServer((url) =>
    withFolder(async (folder) => {
      const shop: Shop = { url, topic, queues, group, database: `${folder}/database` };
      mkdirSync(shop.database);
      await makeTopic(url, topic, queues);
      await expectJson(url, "PUT", `/v1/producer-groups/${group}`, { checkEveryMs: 5_000 });
      const plans = Array.from({ length: count }, (_, number): Plan => {
        const dieAt = fates[number % fates.length] ?? "";
        return { mark: `t${number}`, verb: random() < 0.5 ? "commit" : "rollback", dieAt };
      });
      const checker = startChecker(shop, looks);
      let killed = 0;
      const waiting = [...plans];
      await Promise.all(
        Array.from({ length: clientsAtOnce }, async () => {
          for (let plan = waiting.shift(); plan !== undefined; plan = waiting.shift())
            if (await runClient(shop, plan)) killed++;
        }),
      );
      await untilAllEnded(shop, 120);
      const answers = await checker.stop();
      const refused = answers.filter((line) => !line.endsWith(" 200"));
      const violations = [
        ...refused.map((line) => `the other process was refused: ${line}`),
        ...(await disagreements(shop, plans)),
      ];
      const settled = answers.length - refused.length;
      const settledAs = (verb: string) =>
        answers.filter((line) => line.includes(` ${verb} `)).length;
      printTable([
        {
          halves: count,
          "producers killed": killed,
          "settled by the other process": settled,
          committed: settledAs("commit"),
          "rolled back": settledAs("rollback"),
          violations: violations.length,
        },
      ]);
      printViolations(violations);
      return { violations, killed, settled };
    }),
  );
}

function startChecker({ url, database }: Shop, looks: boolean): { stop(): Promise<string[]> } {
  const orders = JSON.stringify({ url, group, database, looks });
  const child = spawn(process.execPath, [checkProcess, orders], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()));
  return {
    async stop() {
      child.kill("SIGKILL");
      await closed;
      return said.split("\n").slice(0, -1);
    },
  };
}

const where = deployed ? "a deployed stack" : "the local server";

async function real(): Promise<boolean> {
  say(`${where}, producers that are killed, another process that looks into their database`);
  const { violations, killed, settled } = await killAll(rounds, { looks: true });
  const demanded = rounds - Math.ceil(rounds / fates.length);
  return [
    judge(
      "every half ended as its database says, once in the log or never",
      violations.length === 0,
    ),
    judge(`${killed} producers were killed, ${demanded} demanded`, killed >= demanded),
    judge(`${settled} halves were settled by the other process`, settled >= killed),
  ].every(Boolean);
}

async function control(): Promise<boolean> {
  say("control: the other process commits without looking");
  const { violations } = await killAll(Math.min(rounds, 24), { looks: false });
  return judge(
    "the audit notices",
    violations.some((text) => text.includes("decided rollback, and is COMMITTED")),
  );
}

const passed = controlOnly || (await real());
const caught = await control();
finish(passed && caught);
