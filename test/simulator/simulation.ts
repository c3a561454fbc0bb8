import { isBrokerError } from "../../src/broker/errors.ts";
import { Unavailable } from "../../src/broker/ports/failures.ts";
import { admin } from "./actors/admin.ts";
import { clumsy } from "./actors/clumsy.ts";
import { consumer } from "./actors/consumer.ts";
import { finder } from "./actors/finder.ts";
import { member } from "./actors/member.ts";
import { producer } from "./actors/producer.ts";
import { messagesOf } from "./actors/pull-once.ts";
import { reader } from "./actors/reader.ts";
import { receiver } from "./actors/receiver.ts";
import { sweeper } from "./actors/sweeper.ts";
import { afterDays } from "./after-days.ts";
import { Auditor, type FinalLog, type SeenMessage, type Violation } from "./auditor.ts";
import { Client } from "./client.ts";
import { Cluster } from "./cluster.ts";
import { consumeEverything } from "./consume-everything.ts";
import { type FaultRates, ratesOf } from "./fault-rates.ts";
import { invariants } from "./invariants.ts";
import { QuietSpells } from "./quiet-spells.ts";
import { type Scenario, scenarioOf } from "./scenario.ts";
import { World } from "./world.ts";

/** The one thing that is not seen by clients: that the broker met no bug of its own. */
export const noBugShows = "no bug shows";

export interface RunOptions {
  readonly seed: number;
  /** Port calls answered and faults, after which everything comes to rest and is audited. */
  readonly steps: number;
  readonly rates?: FaultRates;
  readonly scenario?: Scenario;
  readonly keepHistory?: boolean;
}

export interface RunReport {
  readonly options: Required<RunOptions>;
  readonly violations: readonly Violation[];
  readonly counts: ReadonlyMap<string, number>;
  readonly steps: number;
  readonly history: readonly string[];
  readonly messages: number;
}

/** One run of the real broker under the faults of its seed, and the auditor's verdict. */
export async function simulate(options: RunOptions): Promise<RunReport> {
  const {
    seed,
    steps,
    rates = ratesOf(seed),
    scenario = scenarioOf(seed),
    keepHistory = false,
  } = options;
  const world = new World(seed, rates, { keepHistory });
  const cluster = new Cluster(world, scenario);
  const auditor = new Auditor();
  for (const topic of scenario.topics) if (topic.volatile) auditor.volatile.add(topic.name);
  await makeTopics(cluster, auditor, scenario);
  const clients = cast(cluster, auditor, scenario);

  const quietSpells = new QuietSpells(world, scenario);
  await world.run(() => {
    quietSpells.pass();
    return world.steps >= steps;
  });
  const stepsTaken = world.steps;
  world.calm = true;
  // What is under way ends by itself: every request has a deadline, and nobody begins a new one.
  await world.runTo(Math.max(world.now, world.quietUntil) + restMs);
  for (const client of clients) client.retire();
  await readEverything(cluster, auditor, scenario);
  await consumeEverything(cluster, auditor.consumption);
  auditor.leftBehind.push(...(await afterDays(cluster)));

  const violations = [
    ...invariants.flatMap(({ name, check }) =>
      [...check(auditor)].map((found) => ({ invariant: name, ...found })),
    ),
    ...cluster.bugs.map((what) => ({ invariant: noBugShows, what })),
  ];
  return {
    options: { seed, steps, rates, scenario, keepHistory },
    violations,
    counts: world.counts,
    steps: stepsTaken,
    history: world.history,
    messages: auditor.final.reduce((sum, { messages }) => sum + messages.length, 0),
  };
}

/** Requests, stalls and retries that are under way when calm begins have ended so much later. */
const restMs = 12 * 60_000;

function cast(cluster: Cluster, auditor: Auditor, scenario: Scenario): readonly Client[] {
  const clients: Client[] = [];
  const enter = (
    name: string,
    count: number,
    live: (number: number) => (client: Client) => Promise<void>,
  ) => {
    for (let number = 1; number <= count; number++)
      clients.push(new Client(`${name}${number}`, cluster, live(number)));
  };
  enter("producer", scenario.producers, () => producer(auditor, scenario));
  // Two consumers of one group disturb each other, as members do while a queue changes hands.
  enter("consumer", scenario.consumers, (number) =>
    consumer(auditor, scenario, `group${Math.ceil(number / 2)}`),
  );
  for (const plan of scenario.groups)
    enter(`${plan.name}-`, plan.members, () =>
      plan.polls ? member(auditor, scenario, plan) : receiver(auditor.consumption, scenario, plan),
    );
  enter("reader", scenario.readers, () => reader(auditor, scenario));
  enter("finder", scenario.finders, () => finder(auditor, scenario));
  enter("admin", scenario.admins, () => admin(auditor, scenario));
  enter("clumsy", scenario.clumsy, () => clumsy(auditor, scenario));
  for (let number = 1; number <= scenario.sweepers; number++)
    clients.push(new Client(`sweeper${number}`, cluster, sweeper(scenario), { restless: true }));
  return clients;
}

async function makeTopics(cluster: Cluster, auditor: Auditor, scenario: Scenario): Promise<void> {
  const { world } = cluster.cell;
  world.calm = true;
  for (const { name, queues, retentionMs } of scenario.topics) {
    await cluster.ask((broker, io) => broker.topics.ensure(io, name, { queues, retentionMs }));
    auditor.retentions.push({ topic: name, retentionMs, startedAt: 0 });
  }
  for (const { members: _, ...plan } of scenario.groups) {
    auditor.consumption.groups.push(plan);
    const { name, orderly, maxAttempts, retryMs } = plan;
    await cluster.ask((broker, io) =>
      broker.groups.ensure(io, name, { orderly, maxAttempts, retryMs }),
    );
  }
  world.calm = false;
}

async function readEverything(
  cluster: Cluster,
  auditor: Auditor,
  scenario: Scenario,
): Promise<void> {
  for (const { name: topic, volatile } of scenario.topics) {
    if (volatile) continue;
    const { id, queues } = await cluster.ask((broker, io) => broker.topics.get(io, topic));
    for (let queue = 0; queue < queues; queue++) {
      auditor.final.push({ topic, queue, ...(await readQueue(cluster, { topicId: id, queue })) });
    }
    for (let group = 1; group <= Math.ceil(scenario.consumers / 2); group++) {
      const offsets = await cluster.ask(async (broker, io) =>
        broker.groupOffsets.get(io, `group${group}`, await broker.topics.get(io, topic)),
      );
      for (const [queue, offset] of offsets)
        auditor.finalOffsets.set(`group${group} in ${topic}/${queue}`, offset);
    }
  }
  auditor.finalAt = cluster.cell.world.now;
}

/** So many passes over a queue are enough for any sweep that works. */
const passesMax = 50;

/** One pass over a queue; another one where it was trimmed meanwhile, or has to be. */
async function readQueue(
  cluster: Cluster,
  queue: { topicId: number; queue: number },
  passes = passesMax,
): Promise<Omit<FinalLog, "topic" | "queue">> {
  const messages: SeenMessage[] = [];
  const range = { min: 0, max: 0 };
  try {
    Object.assign(range, await cluster.ask((broker, io) => broker.log.range(io, queue)));
    for (let offset = range.min; offset < range.max; ) {
      const found = await cluster.ask(async (broker, io) => {
        const read = await broker.log.read(io, queue, offset, {
          messagesMax: 500,
          bytesMax: 4_000_000,
          waitMs: 0,
        });
        return messagesOf(io, read, offset);
      });
      messages.push(...found);
      offset = (found.at(-1)?.offset ?? range.max) + 1;
    }
    return { ...range, messages };
  } catch (error) {
    const again = () => readQueue(cluster, queue, passes - 1);
    if (passes > 1) {
      if (isBrokerError(error) && error.code === "out_of_range") return again();
      // What has expired and nobody came to remove is for a sweep, not for readers.
      if (error instanceof Unavailable) {
        await cluster.ask((broker, io) => broker.sweep(io));
        return again();
      }
    }
    return { ...range, messages, unreadable: String(error) };
  }
}
