/*
 * A message that is given back each time, by the default ladder, in simulated time: when it comes again, and that it is a
 * dead letter after the last attempt.
 *
 *   node --import tsx scripts/retry-ladder.ts [--seed N] [--tick 1000] [--control]
 *
 * A plain and an orderly group, each with the default of 16 attempts, which wait 15 times, and with 17, which see the last
 * step too. A receiver waits in long polls of 20 s, takes one message at a time, and gives it back at once. Each wait is
 * counted from the giving back to the answer of the receive, and may be `--tick` (ms) longer or shorter than its step; so
 * may the way to the dead letters be. In the orderly group a second message of the same message group waits behind the
 * first one until that is dead. Controls: a ladder that leaves out a step; a message that is dead one attempt early; a
 * walker that is late by 1.5 s.
 */
import { readCommandLine, say } from "./audit/command-line.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import { finish, type Patch } from "./audit/server-process.ts";
import { type SimulatedCell, simulatedCells } from "./audit/simulated.ts";

const topic = "orders";
/** RocketMQ's messageDelayLevel from the third on, written out: what the broker's own table is compared with. */
const minute = 60_000;
const ladder = [
  10_000,
  30_000,
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 60, 120].map((minutes) => minutes * minute),
];
const groups = [
  { name: "plain-16", orderly: false, maxAttempts: 16 },
  { name: "orderly-16", orderly: true, maxAttempts: 16 },
  { name: "plain-17", orderly: false, maxAttempts: 17 },
  { name: "orderly-17", orderly: true, maxAttempts: 17 },
];
/** Longer than the longest step. */
const patienceMs = 130 * minute;
/** What a call of the store takes in simulated time, some of what DynamoDB takes. */
const storeMs = 5;
const { controlOnly, seed, tick } = readCommandLine("retry-ladder", { tick: 1_000 });

interface Climb {
  readonly name: string;
  /** How long each wait was (ms). */
  readonly waits: readonly number[];
  readonly deadAfterMs: number;
  readonly violations: readonly string[];
}

const bodyOf = (bytes: Uint8Array) => Buffer.from(bytes).toString();

/** One group climbs the ladder to its end. */
async function climb(cell: SimulatedCell, of: (typeof groups)[0]): Promise<Climb> {
  const { name, orderly, maxAttempts } = of;
  const { clock } = cell;
  const violations: string[] = [];
  const wrong = (text: string) => void violations.push(`${name}: ${text}`);
  // The default is not named, so that it is the broker's.
  await cell.ensureGroup(name, maxAttempts === 16 ? { orderly } : { orderly, maxAttempts });
  const waits: number[] = [];
  let givenBackAt = clock.now();
  let attempts = 0;
  let behind = 0;
  // Beyond the last attempt for longer than the longest step: nothing may come any more.
  while (clock.now() < givenBackAt + patienceMs) {
    const [got] = await cell.receive({ group: name, topic, max: 1, waitMs: 20_000 });
    if (got === undefined) continue;
    const body = bodyOf(got.stored.message.body);
    if (body !== "fails") {
      if (orderly && body === "behind" && attempts < maxAttempts)
        wrong(`what lies behind came at attempt ${attempts}`);
      if (body === "behind") behind++;
      await cell.ack(name, [got]);
      continue;
    }
    if (attempts > 0) waits.push(clock.now() - givenBackAt);
    attempts++;
    if (got.deliveryAttempt !== attempts)
      wrong(`delivery ${attempts} says that it is ${got.deliveryAttempt}`);
    givenBackAt = clock.now();
    for (const code of await cell.nack(name, [got])) wrong(`giving back is refused: ${code}`);
  }
  if (attempts !== maxAttempts) wrong(`given out ${attempts} times`);
  if (behind !== 1) wrong(`what lies behind came ${behind} times`);
  waits.forEach((waited, step) => {
    const wanted = ladder[step] ?? Number.NaN;
    if (!(Math.abs(waited - wanted) <= tick))
      wrong(`step ${step + 1} lasted ${waited} ms instead of ${wanted}`);
  });
  const dead = await cell.deadLetters(name);
  const told = dead.map(
    ({ past, stored }) => `${bodyOf(stored.message.body)} ${past.reason} ${past.attempts}`,
  );
  if (told.join() !== `fails attempts ${maxAttempts}`)
    wrong(`the dead letters are [${told.join()}]`);
  const deadAfterMs = (dead[0]?.stored.storedAt ?? Number.NaN) - givenBackAt;
  if (!(Math.abs(deadAfterMs) <= tick)) wrong(`dead after ${deadAfterMs} ms`);
  const lag = await cell.lag(name, topic);
  if (lag !== 0) wrong(`${lag} messages are left`);
  return { name, waits, deadAfterMs, violations };
}

async function run(
  bundle: string,
  climbing: typeof groups,
  patches: readonly Patch[] = [],
): Promise<readonly string[]> {
  const cell = (await simulatedCells(bundle, patches))({ seed, storeMs });
  await cell.ensureTopic(topic, 1);
  cell.begin();
  const messageGroup = "a";
  const bodies = ["fails", "behind", "other"].map((each) => Buffer.from(each));
  await cell.send(
    topic,
    bodies.map((body, index) => (index < 2 ? { body, messageGroup } : { body })),
  );
  const climbs: Climb[] = await Promise.all(climbing.map((each) => climb(cell, each)));
  cell.end();
  printSteps(climbs);
  const violations = climbs.flatMap((each) => each.violations);
  violations.push(...cell.failures.map((failure) => `the broker failed: ${failure}`));
  printViolations(violations);
  return violations;
}

function printSteps(climbs: readonly Climb[]): void {
  const cells = (of: (climb: Climb) => [seen: number, late: number] | undefined) =>
    Object.fromEntries(
      climbs.flatMap((each) => {
        const [seen, late] = of(each) ?? ["-", "-"];
        return [
          [each.name, seen],
          [`late (${each.name})`, late],
        ];
      }),
    );
  printTable([
    ...ladder.map((wanted, step) => ({
      step: step + 1,
      "wanted (ms)": wanted,
      ...cells(({ waits }) => {
        const seen = waits[step];
        return seen === undefined ? undefined : [seen, seen - wanted];
      }),
    })),
    { step: "dead", "wanted (ms)": 0, ...cells(({ deadAfterMs: ms }) => [ms, ms]) },
  ]);
}

const aStepLeftOut: Patch = {
  file: "src/broker/consuming/group.ts",
  find: "return retryMs[Math.min(attempt, retryMs.length) - 1] ?? 0;",
  replace:
    "return retryMs[Math.min(attempt > 5 ? attempt + 1 : attempt, retryMs.length) - 1] ?? 0;",
};
const deadEarly: Patch = {
  file: "src/broker/consuming/settle-receipts.ts",
  find: "else if (attempt >= group.maxAttempts)",
  replace: "else if (attempt + 1 >= group.maxAttempts)",
};
const lateWalker: Patch = {
  file: "src/broker/consuming/leaving.ts",
  find: "copies.push({ topic: name, queue, messageId, dueAt, id: timerId(id, queue, 0), batch });",
  replace:
    "copies.push({ topic: name, queue, messageId, dueAt: dueAt + 1_500, id: timerId(id, queue, 0), batch });",
};

async function real(): Promise<boolean> {
  say("the broker as it is");
  const violations = await run("ladder-plain", groups);
  return judge(
    `each step is kept within ${tick} ms, then the message is dead, with reason and count`,
    violations.length === 0,
  );
}

async function control(says: string, patch: Patch, sign: string): Promise<boolean> {
  say(`control: ${says}`);
  const violations = await run(`ladder-${sign.replaceAll(" ", "-")}`, groups.slice(0, 2), [patch]);
  return judge(
    "the audit notices",
    violations.some((text) => text.includes(sign)),
  );
}

const passed = controlOnly || (await real());
const caught = [
  await control("the sixth step is left out", aStepLeftOut, "step 6 lasted"),
  await control("dead one attempt early", deadEarly, "the dead letters are"),
  await control("what leaves the state comes 1.5 s late", lateWalker, "step 4 lasted"),
].every(Boolean);
finish(passed && caught);
