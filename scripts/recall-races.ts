/*
 * Recalls that race with delivery: each is sent within 20 ms before or after the message is due. Whatever is answered,
 * the log agrees, and every later recall is answered the same.
 *
 *   node --import tsx scripts/recall-races.ts [--seed N] [--rounds 1000] [--control]
 *
 * `--rounds` is the number of races; a fifth of them at least has to end in each way, and there are more of them where a
 * busy machine favours one. Two servers share the folder, and a recall goes to either. The send of each message arrives once more after its race: it must not be born again.
 * Control: a server that answers 204 after delivery.
 */
import { readCommandLine, say } from "./audit/command-line.ts";
import {
  type Arrival,
  Follower,
  makeTopic,
  pause,
  type Recalled,
  recall,
  sendCall,
  stopAll,
  type Waiting,
  waitingIn,
} from "./audit/delayed.ts";
import { call, oneConnection } from "./audit/http.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import {
  buildServer,
  finish,
  type Patch,
  ServerProcess,
  withFolder,
} from "./audit/server-process.ts";
import { randomBytes } from "./audit/workload.ts";

const queues = 4;
const topic = "orders";
const racers = 25;
const delayMs = { min: 150, max: 400 };
const beforeOrAfterMs = 20;
const eachShare = 0.2;
/** So many times as many races at most. */
const moreMax = 3;
const later = [1, 50, 1_000];

const { rounds, controlOnly, random } = readCommandLine("recall-races", { rounds: 1_000 });

interface Race {
  readonly waiting: Waiting;
  readonly answers: readonly Recalled[];
}

interface Outcome {
  readonly violations: readonly string[];
  readonly recalled: number;
  readonly tooLate: number;
}

async function raceAll(bundle: string, count: number, most = count): Promise<Outcome> {
  return withFolder(async (data) => {
    const first = await ServerProcess.start({ bundle, data });
    const servers = [first, await ServerProcess.start({ bundle, data })];
    const urls = servers.map(({ url }) => url);
    await makeTopic(first.url, topic, queues);
    const follower = new Follower(first.url, topic, queues);
    const races: Race[] = [];
    const violations: string[] = [];
    const ended = (status: number) =>
      races.filter(({ answers }) => answers[0]?.status === status).length;
    let begun = 0;
    const isEnough = () =>
      begun >= most || (begun >= count && Math.min(ended(204), ended(409)) >= demandedOf(count));
    const run = async () => {
      while (!isEnough()) races.push(await race(urls, `m${begun++}`, violations));
    };
    await Promise.all(Array.from({ length: racers }, run));
    await pause(1_000);
    await follower.stop();
    for (const each of races)
      violations.push(...disagreements(each, follower.arrivals.get(each.waiting.mark) ?? []));
    const [recalled, tooLate] = [ended(204), ended(409)];
    printTable([
      { races: races.length, recalled, "too late": tooLate, "in the log": follower.count },
    ]);
    violations.push(...(await stopAll(servers)));
    printViolations(violations);
    return { violations, recalled, tooLate };
  });
}

function demandedOf(count: number): number {
  return Math.floor(eachShare * count);
}

async function race(urls: readonly string[], mark: string, violations: string[]): Promise<Race> {
  const anyUrl = () => urls[Math.floor(random() * urls.length)] ?? "";
  const agent = oneConnection();
  const message = { mark, delayMs: delayMs.min + Math.floor(random() * delayMs.max) };
  const batchId = Buffer.from(randomBytes(random, 16)).toString("hex");
  const send = sendCall(topic, [message], { batchId, firstAttemptAt: Date.now() });
  const [waiting] = waitingIn((await call(agent, anyUrl(), send)).body, [message]);
  if (waiting === undefined) throw new Error("one message has one answer");
  await pause(waiting.deliverAt + (2 * random() - 1) * beforeOrAfterMs - Date.now());
  const answers = [await recall(anyUrl(), waiting)];
  for (const ms of later) {
    await pause(ms);
    answers.push(await recall(anyUrl(), waiting));
  }
  const { body } = await call(agent, anyUrl(), send);
  const [again] = waitingIn(body, [message]);
  if (again?.recallHandle !== waiting.recallHandle)
    violations.push(`${mark}: sent again, it has another handle`);
  agent.destroy();
  return { waiting, answers };
}

/** What the answers to one race say that the log, or another of them, does not. */
function disagreements({ waiting, answers }: Race, places: readonly Arrival[]): string[] {
  const { mark } = waiting;
  const [first] = answers;
  const wrong: string[] = [];
  for (const { status, place } of answers)
    if (status !== first?.status || place !== first.place)
      wrong.push(`${mark}: answered ${first?.status} ${first?.place}, then ${status} ${place}`);
  const found = places.map(({ queue, offset }) => `${queue}@${offset}`).join(", ");
  if (first?.status === 204 && found !== "") wrong.push(`${mark}: recalled, and at ${found}`);
  else if (first?.status === 409 && found !== first.place)
    wrong.push(`${mark}: too late for it at ${first.place}, and at ${found || "no place"}`);
  else if (first?.status !== 204 && first?.status !== 409)
    wrong.push(`${mark}: a recall was answered with ${first?.status}`);
  return wrong;
}

const recalledAfterDelivery: Patch = {
  file: "src/broker/timers/timers.ts",
  find: 'if (timer.state !== "waiting") throw tooLate(timer);',
  replace: 'if (timer.state !== "waiting") return;',
};

async function real(): Promise<boolean> {
  say("the server as it is, twice on one folder");
  const bundle = await buildServer("races-plain");
  const { violations, recalled, tooLate } = await raceAll(bundle, rounds, moreMax * rounds);
  const demanded = demandedOf(rounds);
  return [
    judge("every answer tells what the log shows, and the same again", violations.length === 0),
    judge(
      `${recalled} were recalled and ${tooLate} were too late, ${demanded} of each demanded`,
      Math.min(recalled, tooLate) >= demanded,
    ),
  ].every(Boolean);
}

async function control(): Promise<boolean> {
  say("control: a recall is answered 204 after delivery");
  const bundle = await buildServer("races-control", [recalledAfterDelivery]);
  const { violations } = await raceAll(bundle, Math.min(rounds, 60));
  return judge(
    "the audit notices",
    violations.some((text) => text.includes("recalled, and at")),
  );
}

const passed = controlOnly || (await real());
const caught = await control();
finish(passed && caught);
