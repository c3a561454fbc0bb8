/*
 * Programs that embed the broker store a message, or acknowledge one, together with a row of their own, on LMDB and on the
 * DynamoDB of an emulator. Each is a process that is killed: before the commit, in it, behind it, once it was answered, at
 * any time. At the end row and message are both there or neither is.
 *
 *   node --import tsx scripts/enlist-kills.ts [--seed N] [--rounds 20] [--control]
 *
 * `--rounds` is the number of kills at each point. Control: the row is written by a commit of its own behind the other.
 */
import { spawn } from "node:child_process";
import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import {
  Broker,
  extend,
  ownKey,
  type Ports,
  readMessages,
  receiptHandleOf,
  sendMessages,
} from "tasso/broker";

import { startEmulator } from "../test/support/emulator.ts";
import { readCommandLine, say } from "./audit/command-line.ts";
import { type EmbedderStore, openPorts } from "./audit/embedder-ports.ts";
import type { EmbedderOrders } from "./audit/embedder-process.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import { buildServer, finish, type Patch, withFolder } from "./audit/server-process.ts";

const topic = "orders";
const group = "billing";
const verbs = ["send", "ack"] as const;
/** How long after the point it may still live (ms): into a commit, or until it is over. */
const points = {
  "before the commit": 0,
  "in the commit": 8,
  "after the commit": 0,
  answered: 0,
  "at any time": 30,
} as const;
const pointNames = Object.keys(points) as (keyof typeof points)[];
const processesAtOnce = 2;
/** Of a process that lives on, another is started, so often for each kill that is wanted. */
const triesMax = 5;
const noEmulator = 3;

const { rounds, controlOnly, random } = readCommandLine("enlist-kills", { rounds: 20 });

interface Plan extends EmbedderOrders {
  readonly dieAt: keyof typeof points;
  readonly offset: number;
  killed: boolean;
}

interface Tally {
  killed: number;
  both: number;
  neither: number;
  torn: number;
}

interface Run {
  readonly torn: number;
  readonly fewest: number;
}

async function killAll(bundle: string, store: EmbedderStore, kills: number): Promise<Run> {
  const { ports: io, close } = await openPorts(store);
  try {
    const broker = new Broker(io);
    await broker.topics.ensure(io, topic, { queues: 1 });
    const tallies = new Map<string, Tally>();
    const violations: string[] = [];
    for (const verb of verbs) {
      const plans = await runAll(io, broker, { bundle, store, verb, kills });
      await judgeAll(io, broker, plans, tallies, violations);
    }
    printTable(
      [...tallies].map(([name, tally]) => ({ [`${store.kind}: killed`]: name, ...tally })),
    );
    printViolations(violations);
    const fewest = Math.min(...[...tallies.values()].map(({ killed }) => killed));
    return { torn: violations.length, fewest };
  } finally {
    await close();
  }
}

/** Starts processes until each point was hit often enough. */
async function runAll(
  io: Ports,
  broker: Broker,
  {
    bundle,
    store,
    verb,
    kills,
  }: {
    readonly bundle: string;
    readonly store: EmbedderStore;
    readonly verb: EmbedderOrders["verb"];
    readonly kills: number;
  },
): Promise<Plan[]> {
  const plans: Plan[] = [];
  for (const dieAt of pointNames) {
    let killed = 0;
    let tries = 0;
    const work = async () => {
      while (killed < kills && tries < kills * triesMax) {
        const mark = `${verb}-${dieAt.replaceAll(" ", "-")}-${tries++}`;
        const received = verb === "ack" ? await receiveOne(io, broker, mark) : undefined;
        const plan: Plan = {
          ...{ store, verb, mark, topic, group, dieAt, killed: false },
          handle: received?.handle ?? "",
          offset: received?.offset ?? -1,
          dieAfterMs: Math.round(random() * points[dieAt] * 10) / 10,
        };
        plans.push(plan);
        plan.killed = await runProcess(bundle, plan);
        if (plan.killed) killed++;
      }
    };
    await Promise.all(Array.from({ length: processesAtOnce }, work));
  }
  return plans;
}

async function receiveOne(
  io: Ports,
  broker: Broker,
  mark: string,
): Promise<{ readonly handle: string; readonly offset: number }> {
  const body = new TextEncoder().encode(`received ${mark}`);
  await sendMessages(io, broker, { topic: `${topic}-in`, messages: [{ body }] }).catch(async () => {
    await broker.topics.ensure(io, `${topic}-in`, { queues: 1 });
    await sendMessages(io, broker, { topic: `${topic}-in`, messages: [{ body }] });
  });
  const { messages } = await broker.receiving.receive(io, {
    ...{ group, topic: `${topic}-in`, max: 1, bytesMax: 1_000_000 },
    ...{ invisibleMs: 3_600_000, waitMs: 5_000 },
  });
  const [received] = messages;
  if (received === undefined) throw new Error("nothing was received");
  return { handle: receiptHandleOf(received.receipt), offset: received.stored.offset };
}

/** Whether it was killed. */
function runProcess(bundle: string, plan: Plan): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const args = [bundle, JSON.stringify(plan)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
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

async function judgeAll(
  io: Ports,
  broker: Broker,
  plans: readonly Plan[],
  tallies: Map<string, Tally>,
  violations: string[],
): Promise<void> {
  const counts = await messageCounts(io, broker);
  for (const { verb, mark, handle, dieAt, killed } of plans) {
    const [row] = await io.store.get([ownKey(verb, new TextEncoder().encode(mark))]);
    const done = verb === "send" ? (counts.get(mark) ?? 0) : await acknowledged(io, broker, handle);
    const name = `${verb}, ${dieAt}`;
    const tally = tallies.get(name) ?? { killed: 0, both: 0, neither: 0, torn: 0 };
    tallies.set(name, tally);
    if (killed) tally.killed++;
    if (row !== undefined && done === 1) tally.both++;
    else if (row === undefined && done === 0) tally.neither++;
    else {
      tally.torn++;
      violations.push(`${mark}: ${row === undefined ? "no row" : "a row"}, and done ${done} times`);
    }
    if (!killed && row === undefined) violations.push(`${mark}: it was told, and nothing is there`);
  }
}

/** Whoever can still extend a delivery has not acknowledged it. */
async function acknowledged(io: Ports, broker: Broker, handle: string): Promise<number> {
  const [error] = await extend(io, broker, { group, handles: [handle], invisibleMs: 3_600_000 });
  if (error !== undefined && error.code !== "receipt_stale") throw error;
  return error === undefined ? 0 : 1;
}

async function messageCounts(io: Ports, broker: Broker): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  const { id: topicId } = await broker.topics.get(io, topic);
  const { max } = await new Broker(io).log.range(io, { topicId, queue: 0 });
  for (let offset = 0; offset < max; ) {
    const wanted = { offset, messagesMax: 1_000, bytesMax: 4_000_000 };
    const { messages, end } = await readMessages(io, broker.log, { topicId, queue: 0 }, wanted);
    for (const { messageId } of messages) counts.set(messageId, (counts.get(messageId) ?? 0) + 1);
    offset = end;
  }
  return counts;
}

const apart: readonly Patch[] = [
  {
    file: "src/broker/sending/send-with-rows.ts",
    find: `        along: {
          keys: writes.map(({ key }) => key),
          bytes: ownBytes(rows),
          writes: () => writes,
        },
`,
    replace: "",
  },
  {
    file: "src/broker/sending/send-with-rows.ts",
    find: "    return { messageId: message.messageId ??",
    replace:
      "    await io.store.commit(writes, now + 60_000);\n    return { messageId: message.messageId ??",
  },
  {
    file: "src/broker/consuming/forward.ts",
    find: "...own, ...alarms.writes];",
    replace: "...alarms.writes];",
  },
  {
    file: "src/broker/consuming/forward.ts",
    find: "  alarms.applied();\n",
    replace: "  await io.store.commit(own, io.clock.now() + 60_000);\n  alarms.applied();\n",
  },
];

/** Runs on both stores; `undefined` where there is no emulator. */
async function onBoth(name: string, patches: readonly Patch[], kills: number) {
  const bundle = await buildServer(name, patches, "scripts/audit/embedder-process.ts");
  return await withFolder(async (folder) => {
    const lmdb = await killAll(bundle, { kind: "lmdb", folder: `${folder}/lmdb` }, kills);
    const emulator = await startEmulator();
    if (typeof emulator === "string") {
      say(emulator);
      return [lmdb];
    }
    try {
      const { endpoint } = emulator;
      const table = await makeTable(endpoint);
      const at = { kind: "dynamodb", folder: `${folder}/dynamodb`, table, endpoint } as const;
      return [lmdb, await killAll(bundle, at, kills)];
    } finally {
      await emulator.stop();
    }
  });
}

async function makeTable(endpoint: string): Promise<string> {
  const credentials = { accessKeyId: "test", secretAccessKey: "test" };
  const dynamo = new DynamoDBClient({ endpoint, region: "us-east-1", credentials });
  const TableName = "enlisted";
  await dynamo.send(
    new CreateTableCommand({
      TableName,
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: [
        { AttributeName: "p", AttributeType: "B" },
        { AttributeName: "s", AttributeType: "B" },
      ],
      KeySchema: [
        { AttributeName: "p", KeyType: "HASH" },
        { AttributeName: "s", KeyType: "RANGE" },
      ],
    }),
  );
  dynamo.destroy();
  return TableName;
}

async function real(): Promise<{ ok: boolean; isWhole: boolean }> {
  say("programs as they are, killed");
  const runs = await onBoth("enlist-plain", [], rounds);
  const torn = runs.reduce((sum, run) => sum + run.torn, 0);
  const fewest = Math.min(...runs.map((run) => run.fewest));
  const ok = [
    judge("row and message are both there or neither", torn === 0),
    judge(`each point was hit ${fewest} times, ${rounds} demanded`, fewest >= rounds),
  ].every(Boolean);
  return { ok, isWhole: runs.length === 2 };
}

async function control(): Promise<boolean> {
  say("control: the row is written by a commit of its own");
  const runs = await onBoth("enlist-control", apart, Math.min(rounds, 4));
  return judge(
    "the audit notices on each store",
    runs.every(({ torn }) => torn > 0),
  );
}

const { ok, isWhole } = controlOnly ? { ok: true, isWhole: true } : await real();
const caught = await control();
if (ok && caught && !isWhole) process.exit(noEmulator);
finish(ok && caught);
