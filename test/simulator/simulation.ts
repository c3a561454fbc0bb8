import { admin } from "./actors/admin.ts";
import { clumsy } from "./actors/clumsy.ts";
import { consumer } from "./actors/consumer.ts";
import { delayer } from "./actors/delayer.ts";
import { finder } from "./actors/finder.ts";
import { forwarder } from "./actors/forwarder.ts";
import { member } from "./actors/member.ts";
import { producer } from "./actors/producer.ts";
import { reader } from "./actors/reader.ts";
import { recaller } from "./actors/recaller.ts";
import { receiver } from "./actors/receiver.ts";
import { sweeper } from "./actors/sweeper.ts";
import { checker, transactor } from "./actors/transactor.ts";
import { webhookEndpoint } from "./actors/webhook-endpoint.ts";
import { afterAllIsDue } from "./after-all-is-due.ts";
import { afterDays } from "./after-days.ts";
import { Auditor, type Violation } from "./auditor.ts";
import { Client } from "./client.ts";
import { Cluster } from "./cluster.ts";
import { consumeEverything } from "./consume-everything.ts";
import { type FaultRates, ratesOf } from "./fault-rates.ts";
import { makeForwardTopics, readForwards } from "./forwards-end.ts";
import { invariants } from "./invariants.ts";
import { QuietSpells } from "./quiet-spells.ts";
import { readLog } from "./read-log.ts";
import { type Scenario, scenarioOf } from "./scenario.ts";
import { transactionsEnd } from "./transactions-end.ts";
import { producers } from "./transactions-seen.ts";
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
  if (scenario.webhook) await enterWebhook(cluster, auditor);
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
  try {
    await lookAtEverything(cluster, auditor, scenario, seed);
  } catch (error) {
    // What cannot be read or consumed to its end is a violation like any other.
    cluster.bugs.push(`at the end: ${String((error as Error).stack)}`);
  }

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

/** When everything has come to rest: what lies in the log, is given to consumers, and is left behind. */
async function lookAtEverything(
  cluster: Cluster,
  auditor: Auditor,
  scenario: Scenario,
  seed: number,
): Promise<void> {
  // What a webhook settles by itself is not to come while the log is read.
  if (auditor.hasWebhook) await transactionsEnd(cluster, auditor, { isAsked: false });
  await readEverything(cluster, auditor, scenario);
  await consumeEverything(cluster, auditor.consumption);
  if (scenario.forwarders > 0) await readForwards(cluster, auditor.forwarding);
  // What is delayed is not asked about for days.
  const isAsked = seed % 2 === 0 || auditor.delayed.size > 0;
  if (!auditor.hasWebhook) await transactionsEnd(cluster, auditor, { isAsked });
  await afterAllIsDue(cluster, auditor, scenario);
  auditor.leftBehind.push(...(await afterDays(cluster)));
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
  enter("transactor", scenario.transactors, () => transactor(auditor, scenario));
  enter("checker", scenario.transactors, () => checker(auditor));
  enter("forwarder", scenario.forwarders, () => forwarder(auditor.forwarding, scenario));
  enter("delayer", scenario.delayers, () => delayer(auditor, scenario));
  enter("recaller", scenario.recallers, () => recaller(auditor, scenario));
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
  if (scenario.forwarders > 0) await makeForwardTopics(cluster);
  world.calm = false;
}

async function enterWebhook(cluster: Cluster, auditor: Auditor): Promise<void> {
  const { world } = cluster.cell;
  auditor.hasWebhook = true;
  cluster.cell.endpoint = webhookEndpoint(auditor, world);
  world.calm = true;
  const webhook = { url: "https://shop.example/checks" };
  await cluster.ask((broker, io) => broker.producerGroups.change(io, producers, { webhook }));
  world.calm = false;
}

async function readEverything(
  cluster: Cluster,
  auditor: Auditor,
  scenario: Scenario,
): Promise<void> {
  auditor.final.push(...(await readLog(cluster, scenario)));
  for (const { name: topic, volatile } of scenario.topics) {
    if (volatile) continue;
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
