/*
 * A flood of messages that are due in the same second, while others are sent to the same queues: each of the flood is
 * there once and not early, how long that took, and how much longer a send took meanwhile.
 *
 *   node --import tsx scripts/delayed-flood.ts [--seed N] [--rounds 100] [--control]
 *
 * A round is 1,000 messages. Controls: a server that does not turn what it delivers, and one that delivers all that is
 * due without giving way to anybody.
 */
import { readCommandLine, say } from "./audit/command-line.ts";
import {
  Follower,
  latenessOf,
  makeTopic,
  measure,
  messagesIn,
  pause,
  sendCall,
  sendManyDelayed,
  spread,
  stopAll,
  type Waiting,
  wronglyDelivered,
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

const messagesPerRound = 1_000;
const queues = 8;
const topic = "orders";
/** Sends a second at least at which the flood is expected to be taken in. */
const takenPerSecond = 3_000;
/** So long sends are measured before the flood (ms). */
const beforeMs = 5_000;
const senders = 8;
const sendEveryMs = 25;
const lateMsMax = 180_000;
/** So many times longer than before may 99 of 100 sends take during the flood. */
const slowerMax = 5;

const { rounds, controlOnly, random } = readCommandLine("delayed-flood", { rounds: 100 });

interface Outcome {
  readonly violations: readonly string[];
  /** So many times longer than before half of the sends took, and 99 of 100. */
  readonly slower: { readonly p50: number; readonly p99: number };
}

/** One send of a message that does not wait. */
interface Measured {
  readonly mark: string;
  readonly at: number;
  readonly ms: number;
}

async function flood(bundle: string, roundCount: number): Promise<Outcome> {
  return withFolder(async (data) => {
    const server = await ServerProcess.start({ bundle, data });
    const { url } = server;
    await makeTopic(url, topic, queues);
    const count = roundCount * messagesPerRound;
    const takenInMs = (1_000 * count) / takenPerSecond;
    const begin = Math.ceil((Date.now() + takenInMs + beforeMs) / 1_000) * 1_000 + 1_000;
    const messages = Array.from({ length: count }, (_, index) => ({
      mark: `m${index}`,
      deliverAt: begin + Math.floor(random() * 1_000),
    }));
    const options = { connections: 8, perRequest: 250 };
    const waiting = await sendManyDelayed(url, topic, messages, options);
    say(`  ${count} wait, sent ${Math.round((begin - Date.now()) / 1_000)} s before they are due`);
    await pause(begin - beforeMs - Date.now());
    const load = new Load(url);
    const lastedMs = await delivered(url, { count, begin, load });
    const sent = await load.stop();
    // What is delivered twice comes within a look or two.
    await pause(1_000);

    const before = spread(sent.filter(({ at }) => at < begin).map(({ ms }) => ms));
    const during = spread(
      sent.filter(({ at }) => at >= begin && at < begin + lastedMs).map(({ ms }) => ms),
    );
    const violations = await findWrong(url, { waiting, sent });
    printTable([
      { "a send took (ms)": "before the flood", ...before },
      { "a send took (ms)": "during it", ...during },
    ]);
    const perSecond = Math.round((1_000 * count) / lastedMs);
    say(`  all ${count} were delivered within ${lastedMs} ms of the first, ${perSecond} a second`);
    violations.push(...(await stopAll([server])));
    printViolations(violations);
    const times = (a: number, b: number) => Math.round((10 * a) / b) / 10;
    const slower = { p50: times(during.p50, before.p50), p99: times(during.p99, before.p99) };
    return { violations, slower };
  });
}

/** Sends one message after the other, at a pace, over several connections, and notes how long each took. */
class Load {
  sent = 0;
  #going = true;
  readonly #measured: Measured[] = [];
  readonly #running: Promise<unknown>;

  constructor(url: string) {
    this.#running = Promise.all(Array.from({ length: senders }, (_, i) => this.#send(url, i)));
  }

  async stop(): Promise<readonly Measured[]> {
    this.#going = false;
    await this.#running;
    return this.#measured;
  }

  async #send(url: string, sender: number): Promise<void> {
    const agent = oneConnection();
    await pause((sender * sendEveryMs) / senders);
    for (let number = 0; this.#going; number++) {
      const mark = `n${sender}-${number}`;
      const at = Date.now();
      const began = performance.now();
      const { status } = await call(agent, url, sendCall(topic, [{ mark }]));
      if (status !== 200) throw new Error(`a send was answered with ${status}`);
      const ms = performance.now() - began;
      this.#measured.push({ mark, at, ms });
      this.sent++;
      await pause(Math.max(0, sendEveryMs - ms));
    }
    agent.destroy();
  }
}

/** Waits until all are there; answers how long that took from when the first was due (ms). */
async function delivered(
  url: string,
  { count, begin, load }: { readonly count: number; readonly begin: number; readonly load: Load },
): Promise<number> {
  await pause(begin - Date.now());
  // Of those that do not wait some are there that are not answered yet, so the end is told a little early, never late.
  while ((await messagesIn(url, topic)) < count + load.sent && Date.now() < begin + lateMsMax)
    await pause(100);
  return Date.now() - begin;
}

async function findWrong(
  url: string,
  { waiting, sent }: { readonly waiting: readonly Waiting[]; readonly sent: readonly Measured[] },
): Promise<string[]> {
  const follower = new Follower(url, topic, queues);
  await follower.until(await messagesIn(url, topic), Date.now() + lateMsMax);
  await follower.stop();
  const wrong: string[] = [];
  for (const { mark } of sent) {
    const places = follower.arrivals.get(mark)?.length ?? 0;
    if (places !== 1) wrong.push(`${mark}: sent at once and there ${places} times`);
    follower.arrivals.delete(mark);
  }
  const { stored } = latenessOf(waiting, follower.arrivals);
  say(`  late until it was stored (ms): p50 ${stored.p50}, p99 ${stored.p99}, max ${stored.max}`);
  return [...wronglyDelivered(waiting, follower.arrivals), ...wrong];
}

const turnsNothing: Patch = {
  file: "src/broker/log/queue-appender.ts",
  find: "? [...puts, ...along.flatMap((each) => each.writes), entryCheck(this.#queue, segment)]",
  replace: "? [...puts, entryCheck(this.#queue, segment)]",
};

const givesNoWay: Patch = {
  file: "src/broker/timers/delivery.ts",
  find: "const deliveriesAtOnce = 128;",
  replace: "const deliveriesAtOnce = 1_000_000;",
};

async function real(): Promise<boolean> {
  say("the server as it is");
  const bundle = await buildServer("flood-plain");
  const { violations, slower } = await measure(
    () => flood(bundle, rounds),
    // What is wrong stays wrong.
    (each) => each.violations.length > 0 || each.slower.p99 <= slowerMax,
  );
  return [
    judge("none early, each once, nothing else lost", violations.length === 0),
    judge(
      `99 of 100 sends took ${slower.p99} times as long as before, ${slowerMax} allowed`,
      slower.p99 <= slowerMax,
    ),
  ].every(Boolean);
}

async function control(): Promise<boolean> {
  say("control: what is delivered is not turned");
  const doubled = await flood(await buildServer("flood-doubles", [turnsNothing]), 2);
  say("control: all that is due is delivered at once");
  const noWay = await buildServer("flood-no-way", [givesNoWay]);
  const isSlower = ({ slower: { p50, p99 } }: Outcome) => Math.max(p50, p99) > slowerMax;
  const held = await measure(() => flood(noWay, 40), isSlower);
  return [
    judge(
      "the audit sees doubles",
      doubled.violations.some((text) => / there \d+ times/.test(text)),
    ),
    judge(
      `and that half of the sends took ${held.slower.p50} times as long as before, 99 of 100 ${held.slower.p99} times`,
      isSlower(held),
    ),
  ].every(Boolean);
}

const passed = controlOnly || (await real());
const caught = await control();
finish(passed && caught);
