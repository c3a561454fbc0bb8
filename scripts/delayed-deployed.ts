/*
 * Messages due in 3 to 200 s, sent to a deployed stack whose functions die at random: none early, each once, and how
 * late, those that a schedule wakes somebody for apart from the nearer ones. Beside it how late the emulator fires bare
 * schedules while nothing else is asked of it.
 *
 *   node --import tsx scripts/delayed-deployed.ts [--seed N] [--rounds 200] [--control]
 *
 * `--rounds` is the number of messages. Control: a stack that delivers what is due within the next five seconds, and
 * leaves its row as it was.
 */
import type { Agent } from "node:http";
import { CreateScheduleCommand, SchedulerClient } from "@aws-sdk/client-scheduler";
import { nearMs, scheduleExpression } from "../src/adapters/aws/wakings.ts";
import { emulated } from "../test/support/deployment.ts";
import { readCommandLine, say } from "./audit/command-line.ts";
import {
  Follower,
  latenessOf,
  makeTopic,
  pause,
  sendCall,
  spread,
  type Waiting,
  waitingIn,
  wronglyDelivered,
} from "./audit/delayed.ts";
import { call, NoAnswer, oneConnection } from "./audit/http.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import { finish, type Patch } from "./audit/server-process.ts";
import { countingFile, type DeployedStack, withStack } from "./audit/stack.ts";

const topic = "orders";
const queues = 4;
const connections = 8;
const nearestMs = 3_000;
const farthestMs = 200_000;
/** From 0 to 1: how many calls end a function. */
const deathShare = 0.2;
const diesWithinMs = 90_000;
/** A function that died is called again a minute later, and then there is the sweep. */
const lateMsMax = 150_000;
const probes = 10;

const { rounds, controlOnly, random } = readCommandLine("delayed-deployed", { rounds: 200 });

/** A schedule of nobody's alarm: the function notes when it was called. */
const probed: Patch = {
  file: "functions/on-alarm.ts",
  find: "  const usage = new Usage();\n",
  replace: `  const note = (what: string) => appendFileSync(${countingFile}, what + "\\n");
  const { probe } = event as { probe?: number };
  if (probe !== undefined) return note("fired " + (Date.now() - probe));
  note("woken");
  if (Math.random() < ${deathShare})
    setTimeout(() => { note("died"); process.exit(1); }, ${diesWithinMs} * Math.random());
  const usage = new Usage();
`,
};

const sendersDie: Patch = {
  file: "functions/answering.ts",
  find: "    const answer = await api(request);",
  replace: `    const answer = await api(request);
    if (dimensions.function === "send" && Math.random() < ${deathShare}) {
      appendFileSync(${countingFile}, "died\\n");
      process.exit(1);
    }`,
};

const appending: readonly Patch[] = [
  { file: "functions/on-alarm.ts", import: 'import { awsPorts, logOnAws } from "./aws-ports.ts";' },
  {
    file: "functions/answering.ts",
    import: 'import { toRequest, toResult } from "./http-events.ts";',
  },
].map(({ file, import: find }) => ({
  file,
  find,
  replace: `import { appendFileSync } from "node:fs"; ${find}`,
}));

const tooEager: readonly Patch[] = [
  {
    file: "src/broker/timers/walker.ts",
    find: "to: offsetKey(readAt + 1),",
    replace: "to: offsetKey(readAt + 5_001),",
  },
  {
    file: "src/broker/timers/timer-writes.ts",
    find: "export function turn(io: Ports, { key, version }: Item, timer: Timer) {",
    replace: "export function turn(io: Ports, { key, version, value }: Item, _timer: Timer) {",
  },
  {
    file: "src/broker/timers/timer-writes.ts",
    find: "    value: encodeTimer(timer),\n",
    replace: "    value,\n",
  },
];

interface Run {
  readonly violations: readonly string[];
  readonly died: number;
}

function delayedWhileFunctionsDie(patches: readonly Patch[], messages: number): Promise<Run> {
  return withStack([...appending, probed, sendersDie, ...patches], async (stack) => {
    const bare = spread(await bareLateness(stack));
    await makeTopic(stack.url, topic, queues);
    const follower = new Follower(stack.url, topic, queues);
    const waiting = await sendAll(stack.url, messages);
    await follower.until(waiting.length, Date.now() + farthestMs + lateMsMax);
    // What is there twice, and what comes early, would come with the rest.
    await pause(5_000);
    await follower.stop();
    const far = waiting.filter(({ deliverAt, answeredAt }) => deliverAt - answeredAt >= nearMs);
    const near = waiting.filter((each) => !far.includes(each));
    const died = stack.noted().filter((note) => note === "died").length;
    const woken = stack.noted().filter((note) => note === "woken").length;
    const row = (what: string, some: readonly Waiting[]) => {
      const { stored } = latenessOf(some, follower.arrivals);
      return { "late (ms)": what, messages: some.length, ...stored };
    };
    printTable([
      row(`due within ${nearMs / 1_000} s`, near),
      row("due later", far),
      { "late (ms)": "bare schedules of the emulator", messages: probes, ...bare },
    ]);
    say(`  ${died} functions died, somebody was woken ${woken} times`);
    const violations = wronglyDelivered(waiting, follower.arrivals);
    printViolations(violations);
    return { violations, died };
  });
}

/** By how much the emulator is late with schedules while nothing else is asked of it (ms). */
async function bareLateness({ emulator, outputs, noted }: DeployedStack): Promise<number[]> {
  const client = new SchedulerClient(emulated(emulator.endpoint));
  const first = Math.ceil(Date.now() / 1_000) * 1_000 + 10_000;
  for (let number = 0; number < probes; number++) {
    const at = first + 2_000 * number;
    await client.send(
      new CreateScheduleCommand({
        Name: `probe-${number}`,
        GroupName: outputs["ScheduleGroup"],
        ScheduleExpression: scheduleExpression(at),
        FlexibleTimeWindow: { Mode: "OFF" },
        ActionAfterCompletion: "DELETE",
        Target: {
          Arn: outputs["OnAlarmArn"],
          RoleArn: outputs["SchedulerRoleArn"],
          Input: JSON.stringify({ probe: at }),
        },
      }),
    );
  }
  client.destroy();
  const fired = () => noted().filter((note) => note.startsWith("fired "));
  const until = Date.now() + 90_000;
  while (fired().length < probes && Date.now() < until) await pause(200);
  return fired().map((note) => Number(note.split(" ")[1]));
}

/** Each message by itself, again under its batch id until there is an answer. */
async function sendAll(url: string, messages: number): Promise<Waiting[]> {
  const waiting: Waiting[] = [];
  let next = 0;
  const send = async () => {
    const agent = oneConnection();
    while (next < messages) waiting.push(await sendOne(agent, url, `m${next++}`));
    agent.destroy();
  };
  await Promise.all(Array.from({ length: connections }, send));
  return waiting;
}

async function sendOne(agent: Agent, url: string, mark: string): Promise<Waiting> {
  const delayMs = nearestMs + Math.floor(random() * (farthestMs - nearestMs));
  const messages = [{ mark, delayMs }];
  const batchId = Buffer.from(Array.from({ length: 16 }, () => random() * 256)).toString("hex");
  const wanted = sendCall(topic, messages, { batchId, firstAttemptAt: Date.now() });
  for (;;) {
    try {
      const { status, body } = await call(agent, url, wanted);
      const [waiting] = status === 200 ? waitingIn(body, messages) : [];
      if (waiting !== undefined) return waiting;
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
    }
    await pause(100);
  }
}

async function real(): Promise<boolean> {
  say(`messages due in ${nearestMs / 1_000} to ${farthestMs / 1_000} s, functions die`);
  const { violations, died } = await delayedWhileFunctionsDie([], rounds);
  return [
    judge("none is early, each is there once", violations.length === 0),
    judge(`${died} functions died`, died > 0),
  ].every(Boolean);
}

async function control(): Promise<boolean> {
  say("control: what is due within five seconds is delivered, and goes on waiting");
  const { violations } = await delayedWhileFunctionsDie(tooEager, Math.min(rounds, 60));
  return [
    judge(
      "the audit sees early ones",
      violations.some((text) => text.includes("early")),
    ),
    judge(
      "and doubles",
      violations.some((text) => / there \d+ times/.test(text)),
    ),
  ].every(Boolean);
}

const passed = controlOnly || (await real());
const caught = await control();
finish(passed && caught);
