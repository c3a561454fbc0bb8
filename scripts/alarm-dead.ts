/*
 * A stack whose alarms never ring: the periodic sweep does their work. The clock of the function that sweeps is an hour
 * ahead, and what lives loses nothing by it.
 *
 *   node --import tsx scripts/alarm-dead.ts [--seed N] [--rounds 1] [--control]
 *
 * `--rounds` is the number of topics that are deleted. Control: the same without the periodic sweep, which has to leave
 * the rows of what was deleted where they are. Both wait for minutes of the clock, side by side.
 */
import { DynamoDBClient, paginateScan } from "@aws-sdk/client-dynamodb";
import { emulated } from "../test/support/deployment.ts";
import { audit } from "./audit/audit.ts";
import { readCommandLine, say } from "./audit/command-line.ts";
import { expectJson, oneConnection } from "./audit/http.ts";
import { Ledger } from "./audit/ledger.ts";
import { settle } from "./audit/producer.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import { finish, type Patch } from "./audit/server-process.ts";
import { type DeployedStack, withStack } from "./audit/stack.ts";
import { newSending } from "./audit/workload.ts";

const live = "live";
const queues = 2;
const batches = 20;
/** The Scheduler of the emulator looks every 10 s; twice a minute and that, and some. */
const sweptMsMax = 150_000;

const { rounds, controlOnly, random } = readCommandLine("alarm-dead", { rounds: 1 });

const deadAlarm: Patch = {
  file: "functions/aws-ports.ts",
  find: "set: async (id, at) => (await alarm()).set(id, at),",
  replace: "set: async () => {},",
};

const hourAhead: Patch = {
  file: "functions/on-alarm.ts",
  find: "const broker = new Broker({ ...ports, store: conflicts.in(ports.store) });",
  replace: `const clock = { ...ports.clock, now: () => Date.now() + 3_600_000 };
    const broker = new Broker({ ...ports, clock, store: conflicts.in(ports.store) });`,
};

const noSweep: Patch = {
  file: "functions/on-alarm.ts",
  find: ": await sweep();",
  replace: ": undefined;",
};

interface Outcome {
  readonly violations: readonly string[];
  /** Items of the table: as the live topic had left it, with the others too, and in the end. */
  readonly items: { readonly live: number; readonly all: number; readonly end: number };
  readonly seconds: number;
}

function alarmDead(patches: readonly Patch[]): Promise<Outcome> {
  return withStack(patches, async (stack) => {
    const ledger = new Ledger();
    await fill(stack, live, ledger);
    const items = { live: await itemsIn(stack), all: 0, end: 0 };
    const deleted = Array.from({ length: rounds }, (_, index) => `deleted-${index}`);
    for (const topic of deleted) await fill(stack, topic, new Ledger());
    items.all = await itemsIn(stack);
    for (const topic of deleted)
      await expectJson(stack.url, "DELETE", `/v1/topics/${topic}?force=true`);
    const began = performance.now();
    for (;;) {
      items.end = await itemsIn(stack);
      if (items.end <= items.live || performance.now() - began > sweptMsMax) break;
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
    const seconds = Math.round((performance.now() - began) / 1_000);
    const { violations } = await audit({ url: stack.url, topic: live, queues }, ledger);
    return { violations: [...violations, ...ledger.violations], items, seconds };
  });
}

async function fill({ url }: DeployedStack, topic: string, ledger: Ledger): Promise<void> {
  await expectJson(url, "PUT", `/v1/topics/${topic}`, { queues });
  const agent = oneConnection();
  const workload = { random, topic, queues, withIdShare: 1, hotShare: 0.5 };
  for (let batch = 0; batch < batches; batch++)
    await settle(agent, url, ledger, newSending(workload, ledger, "p"));
  agent.destroy();
}

async function itemsIn({ emulator, outputs }: DeployedStack): Promise<number> {
  const client = new DynamoDBClient(emulated(emulator.endpoint));
  let count = 0;
  const pages = paginateScan({ client }, { TableName: outputs["Table"], Select: "COUNT" });
  for await (const page of pages) count += page.Count ?? 0;
  client.destroy();
  return count;
}

const [real, control] = await Promise.all([
  controlOnly ? undefined : alarmDead([deadAlarm, hourAhead]),
  alarmDead([deadAlarm, noSweep]),
]);

function row(run: string, { items, seconds }: Outcome) {
  const { live: before, all, end } = items;
  return { run, "items, live": before, "and to be deleted": all, "in the end": end, seconds };
}

printTable([
  ...(real === undefined ? [] : [row("alarm dead, clock an hour ahead", real)]),
  row("control: no sweep either", control),
]);
const passed =
  real === undefined ||
  [
    judge("the sweep removed what belonged to deleted topics", real.items.end <= real.items.live),
    judge("and nothing of the topic that lives", real.violations.length === 0),
  ].every(Boolean);
printViolations(real?.violations ?? []);
const caught = judge("without it the rows stay", control.items.end > control.items.live);
if (!caught) say("  the control swept all the same");
finish(passed && caught);
