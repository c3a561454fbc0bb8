import { admin } from "./actors/admin.ts";
import { clumsy } from "./actors/clumsy.ts";
import { consumer } from "./actors/consumer.ts";
import { producer } from "./actors/producer.ts";
import { messagesOf } from "./actors/pull-once.ts";
import { reader } from "./actors/reader.ts";
import { Auditor, type Violation } from "./auditor.ts";
import { Client } from "./client.ts";
import { Cluster } from "./cluster.ts";
import { type FaultRates, ratesOf } from "./fault-rates.ts";
import { invariants } from "./invariants.ts";
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
  const cluster = new Cluster(world, scenario.brokers);
  const auditor = new Auditor();
  for (const topic of scenario.topics) if (topic.volatile) auditor.volatile.add(topic.name);
  await makeTopics(cluster, scenario);
  cast(cluster, auditor, scenario);

  await world.run(() => world.steps >= steps);
  const stepsTaken = world.steps;
  world.calm = true;
  // What is under way ends by itself: every request has a deadline, and nobody begins a new one.
  await world.run(() => false);
  await readEverything(cluster, auditor, scenario);

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

function cast(cluster: Cluster, auditor: Auditor, scenario: Scenario): void {
  const enter = (
    name: string,
    count: number,
    live: (number: number) => (client: Client) => Promise<void>,
  ) => {
    for (let number = 1; number <= count; number++)
      new Client(`${name}${number}`, cluster, live(number));
  };
  enter("producer", scenario.producers, () => producer(auditor, scenario));
  // Two consumers of one group disturb each other, as members do while a queue changes hands.
  enter("consumer", scenario.consumers, (number) =>
    consumer(auditor, scenario, `group${Math.ceil(number / 2)}`),
  );
  enter("reader", scenario.readers, () => reader(auditor, scenario));
  enter("admin", scenario.admins, () => admin(auditor, scenario));
  enter("clumsy", scenario.clumsy, () => clumsy(auditor, scenario));
}

async function makeTopics(cluster: Cluster, scenario: Scenario): Promise<void> {
  const { world } = cluster.cell;
  world.calm = true;
  for (const { name, queues } of scenario.topics) {
    await cluster.ask((broker, io) => broker.topics.ensure(io, name, { queues }));
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
}

async function readQueue(cluster: Cluster, queue: { topicId: number; queue: number }) {
  const { min, max } = await cluster.ask((broker, io) => broker.log.range(io, queue));
  const messages: { offset: number; uid: string }[] = [];
  for (let offset = min; offset < max; ) {
    try {
      const found = await cluster.ask(async (broker, io) => {
        const read = await broker.log.read(io, queue, offset, {
          messagesMax: 500,
          bytesMax: 4_000_000,
          waitMs: 0,
        });
        return messagesOf(io, read, offset);
      });
      messages.push(...found);
      offset = (found.at(-1)?.offset ?? max) + 1;
    } catch (error) {
      return { min, max, messages, unreadable: String(error) };
    }
  }
  return { min, max, messages };
}
