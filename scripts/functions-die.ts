/*
 * Eight writer processes send to one queue of a deployed stack while the functions that serve them die: half of them
 * behind their work and before the reply, half at any moment in between. Every function's clock is wrong. Whoever got no
 * answer sends again, under the same batch id.
 *
 *   node --import tsx scripts/functions-die.ts [--seed N] [--rounds 50] [--control]
 *
 * `--rounds` is the number of deaths. Control: the same with the look back switched off, which has to show doubles.
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { limits } from "../src/broker/limits.ts";
import { audit } from "./audit/audit.ts";
import { readCommandLine, say } from "./audit/command-line.ts";
import { expectJson } from "./audit/http.ts";
import { Ledger } from "./audit/ledger.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import { finish, type Patch } from "./audit/server-process.ts";
import { countingFile, withStack } from "./audit/stack.ts";
import type { WriterOrders, WriterPages } from "./audit/writer.ts";

const writers = 8;
const topic = "orders";
/** From 0 to 1: how many calls end a function. */
const deathShare = 0.15;
const lastingMsMax = 180_000;

const { rounds, controlOnly, seed } = readCommandLine("functions-die", { rounds: 50 });

/** The exit switch. It exists in this bundle only. */
const deaths: readonly Patch[] = [
  {
    file: "functions/answering.ts",
    find: "    const answer = await api(request);",
    replace: `    const die = () => { appendFileSync(${countingFile}, "died\\n"); process.exit(1); };
    const fate = dimensions.function === "send" ? Math.random() : 1;
    if (fate < ${deathShare / 2}) setTimeout(die, 20 * Math.random());
    const answer = await api(request);
    if (fate < ${deathShare}) die();`,
  },
  {
    file: "functions/answering.ts",
    find: 'import { toRequest, toResult } from "./http-events.ts";',
    replace:
      'import { appendFileSync } from "node:fs"; import { toRequest, toResult } from "./http-events.ts";',
  },
];

/** Each function's clock is wrong, by as much as clocks may be. */
const wrongClocks: Patch = {
  file: "src/adapters/local/system-clock.ts",
  find: "    return Date.now();",
  replace: "    return Date.now() + wrongMs;",
};
const howWrong: Patch = {
  file: "src/adapters/local/system-clock.ts",
  find: "export class SystemClock",
  replace: `const wrongMs = Math.round((2 * Math.random() - 1) * ${limits.clockErrorMsMax});
export class SystemClock`,
};

const withoutLookBack: Patch = {
  file: "src/broker/log/tail-chain.ts",
  find: "if (batch.firstAttemptAt === 0) return true;",
  replace: "if (batch.firstAttemptAt >= 0) return true;",
};

interface Outcome {
  readonly violations: readonly string[];
  readonly died: number;
}

function functionsDie(patches: readonly Patch[]): Promise<Outcome> {
  return withStack(patches, async ({ url, noted }) => {
    await expectJson(url, "PUT", `/v1/topics/${topic}`, { queues: 1 });
    const began = performance.now();
    const running = Array.from({ length: writers }, (_, index) =>
      startWriter({ name: `w${index}`, url, topic, seed: seed + index }),
    );
    while (noted().length < rounds && performance.now() - began < lastingMsMax) await pause(100);
    const died = noted().length;
    const ledger = new Ledger();
    for (const { timeOrigin, sendings, ...pages } of await Promise.all(
      running.map((writer) => writer.stop()),
    )) {
      const behind = timeOrigin - performance.timeOrigin;
      ledger.adopt({
        ...pages,
        sendings: sendings.map((sending) => ({
          ...sending,
          messages: sending.messages.map((sent) => ({ ...sent, body: Buffer.from(sent.body) })),
          issuedAt: sending.issuedAt + behind,
          answeredAt: sending.answeredAt + behind,
        })),
      });
    }
    const { messages, violations } = await audit({ url, topic, queues: 1 }, ledger);
    printTable([
      {
        seconds: Math.round((performance.now() - began) / 1_000),
        "functions died": died,
        attempts: ledger.attempts,
        unanswered: ledger.unanswered,
        batches: ledger.sendings.length,
        acknowledged: ledger.count("acknowledged"),
        "in the log": messages,
      },
    ]);
    const errors = [...ledger.errors].map(([code, count]) => `${count} ${code}`).join(", ");
    say(`  errors told to writers: ${errors || "none"}`);
    const all = [...violations, ...ledger.violations];
    printViolations(all);
    return { violations: all, died };
  });
}

function startWriter(orders: WriterOrders): { stop(): Promise<WriterPages> } {
  const child = fork(fileURLToPath(new URL("./audit/writer.ts", import.meta.url)), {
    serialization: "advanced",
  });
  const pages = new Promise<WriterPages>((resolve, reject) => {
    child.once("message", (message) => resolve(message as WriterPages));
    child.once("exit", (code) => reject(new Error(`a writer ended with ${code}`)));
  });
  // Where it fails before it is asked for.
  pages.catch(() => {});
  child.send(orders);
  return {
    stop() {
      if (child.connected) child.send("stop");
      return pages;
    },
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function real(): Promise<boolean> {
  say(`functions that die, each with a clock that is wrong by up to ${limits.clockErrorMsMax} ms`);
  const { violations, died } = await functionsDie([...deaths, wrongClocks, howWrong]);
  return [
    judge(
      "nothing is lost, nothing is there twice, all where it was acknowledged",
      violations.length === 0,
    ),
    judge(`${died} functions died, ${rounds} demanded`, died >= rounds),
  ].every(Boolean);
}

async function control(): Promise<boolean> {
  say("control: attempts do not look back");
  const { violations } = await functionsDie([...deaths, withoutLookBack]);
  return judge(
    "the audit sees doubles",
    violations.some((text) => text.includes("a second time")),
  );
}

const passed = controlOnly || (await real());
const caught = await control();
finish(passed && caught);
