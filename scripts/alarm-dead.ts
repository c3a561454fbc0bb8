/*
 * A stack whose alarms never ring: the periodic sweep does their work. The clock of the function that sweeps is an hour
 * ahead, and what lives loses nothing by it.
 *
 *   node --import tsx scripts/alarm-dead.ts [--seed N] [--rounds 1] [--control]
 *
 * A sealed segment has to become an object, and what belonged to deleted topics has to go. `--rounds` is the number of
 * topics that are deleted. Control: the same without the periodic sweep, which has to leave all as it is. Both wait for
 * minutes of the clock, side by side.
 */
import { DynamoDBClient, paginateScan } from "@aws-sdk/client-dynamodb";
import { ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { readU32 } from "../src/broker/bytes.ts";
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
const archived = "archived";
const queues = 2;
const batches = 20;
/** Sends of 8 KB: more than the least that is archived. */
const archivedSends = 140;
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
  find: "const broker = new Broker({ ...ports, store: conflicts.in(ports.store) }, logOnAws);",
  replace: `const clock = { ...ports.clock, now: () => Date.now() + 3_600_000 };
    const broker = new Broker({ ...ports, clock, store: conflicts.in(ports.store) }, logOnAws);`,
};

const noSweep: Patch = {
  file: "functions/on-alarm.ts",
  find: ": await sweepAndBeat();",
  replace: ": undefined;",
};

/** Items of the table that belong to deleted topics, and objects in the bucket. */
interface Remains {
  readonly deletedItems: number;
  readonly objects: number;
}

interface Outcome {
  readonly violations: readonly string[];
  readonly before: Remains;
  readonly after: Remains;
  readonly seconds: number;
}

function alarmDead(patches: readonly Patch[]): Promise<Outcome> {
  return withStack(patches, async (stack) => {
    const ledger = new Ledger();
    await fill(stack, live, ledger);
    await expectJson(stack.url, "PUT", `/v1/topics/${archived}`, { queues: 1 });
    await sendMuch(stack);
    const deleted = Array.from({ length: rounds }, (_, index) => `deleted-${index}`);
    for (const topic of deleted) await fill(stack, topic, new Ledger());
    const before = await remainsIn(stack);
    for (const topic of deleted)
      await expectJson(stack.url, "DELETE", `/v1/topics/${topic}?force=true`);
    await expectJson(stack.url, "POST", `/v1/topics/${archived}/seal`, {});
    const began = performance.now();
    let after = before;
    for (;;) {
      after = await remainsIn(stack);
      const isDone = after.deletedItems === 0 && after.objects > 0;
      if (isDone || performance.now() - began > sweptMsMax) break;
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
    const seconds = Math.round((performance.now() - began) / 1_000);
    const { violations } = await audit({ url: stack.url, topic: live, queues }, ledger);
    return { violations: [...violations, ...ledger.violations], before, after, seconds };
  });
}

async function sendMuch({ url }: DeployedStack): Promise<void> {
  const messages = [{ body: "x".repeat(8_000) }];
  for (let sent = 0; sent < archivedSends; sent += 10) {
    await Promise.all(
      Array.from({ length: 10 }, () =>
        expectJson(url, "POST", `/v1/topics/${archived}/messages`, { messages }),
      ),
    );
  }
}

async function fill({ url }: DeployedStack, topic: string, ledger: Ledger): Promise<void> {
  await expectJson(url, "PUT", `/v1/topics/${topic}`, { queues });
  const agent = oneConnection();
  const workload = { random, topic, queues, withIdShare: 1, hotShare: 0.5 };
  for (let batch = 0; batch < batches; batch++)
    await settle(agent, url, ledger, newSending(workload, ledger, "p"));
  agent.destroy();
}

async function remainsIn({ emulator, outputs }: DeployedStack): Promise<Remains> {
  const client = new DynamoDBClient(emulated(emulator.endpoint));
  let deletedItems = 0;
  const ask = { TableName: outputs["Table"], ProjectionExpression: "p" };
  for await (const page of paginateScan({ client }, ask)) {
    for (const { p } of page.Items ?? []) if (isOfDeletedTopic(p?.B)) deletedItems++;
  }
  client.destroy();
  const s3 = new S3Client(emulated(emulator.endpoint));
  const list = new ListObjectsV2Command({ Bucket: outputs["BucketName"], Prefix: "segments/" });
  const { KeyCount: objects = 0 } = await s3.send(list);
  s3.destroy();
  return { deletedItems, objects };
}

/** Topics are numbered, and the two that live were made first. */
function isOfDeletedTopic(partition: Uint8Array | undefined): boolean {
  if (partition === undefined || partition.length < 7) return false;
  const isOfQueue = "SBG".includes(String.fromCharCode(partition[0] ?? 0));
  return isOfQueue && readU32(partition, 1) > 2;
}

const [real, control] = await Promise.all([
  controlOnly ? undefined : alarmDead([deadAlarm, hourAhead]),
  alarmDead([deadAlarm, noSweep]),
]);

function row(run: string, { before, after, seconds }: Outcome) {
  return {
    run,
    "items of topics to be deleted": before.deletedItems,
    "in the end": after.deletedItems,
    "archived segments": after.objects,
    seconds,
  };
}

printTable([
  ...(real === undefined ? [] : [row("alarm dead, clock an hour ahead", real)]),
  row("control: no sweep either", control),
]);
const passed =
  real === undefined ||
  [
    judge("the sweep archived what was sealed", real.after.objects > 0),
    judge("and removed what belonged to deleted topics", real.after.deletedItems === 0),
    judge("and nothing of the topic that lives", real.violations.length === 0),
  ].every(Boolean);
printViolations(real?.violations ?? []);
const { deletedItems, objects } = control.after;
const caught = judge("without it nothing of that happens", deletedItems > 0 && objects === 0);
if (!caught) say("  the control swept all the same");
finish(passed && caught);
