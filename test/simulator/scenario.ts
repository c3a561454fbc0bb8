import type { LogSettings } from "../../src/broker/log/log-settings.ts";
import { type Climate, climateOf } from "./climate.ts";
import type { GroupPlan } from "./consumption.ts";
import { type DelayPlan, delayPlanOf } from "./delay-plan.ts";
import { Dice } from "./dice.ts";

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;

export interface TopicPlan {
  readonly name: string;
  readonly queues: number;
  /** Deleted and made again now and then. */
  readonly volatile: boolean;
  readonly retentionMs: number;
  /** The longest that the admin sets now and then; absent: the retention stays. */
  readonly retentionMsMax?: number;
}

/** Who takes part in a run, and in what kind of cell. */
export interface Scenario extends DelayPlan {
  readonly brokers: number;
  readonly producers: number;
  readonly consumers: number;
  readonly readers: number;
  readonly finders: number;
  readonly admins: number;
  readonly clumsy: number;
  /** Producers of transactions; as many others ask what became of them. */
  readonly transactors: number;
  /** Who forwards what came in, and stores rows of their own with messages. */
  readonly forwarders: number;
  /** Their group has a webhook, too. */
  readonly webhook: boolean;
  readonly sweepers: number;
  /** Groups that receive or poll in the topic "orders", and how many of each there are. */
  readonly groups: readonly (GroupPlan & { readonly members: number })[];
  /** A sweeper pauses for up to so long while clients act (ms). */
  readonly sweepMs: number;
  readonly topics: readonly TopicPlan[];
  /** Clients pause for up to so long between two requests (ms). */
  readonly thinkMs: number;
  /** The share of requests whose clients wait for hours to be answered. */
  readonly patience: number;
  /** About so many steps lie between two quiet spells; 0: there are none. */
  readonly quietEverySteps: number;
  /** In so many of them even brokers and alarms sleep. */
  readonly asleep: number;
  /** Small segments, so that what takes a log hours and megabytes happens in a run of some hundred messages. */
  readonly log: Partial<LogSettings>;
}

/** A cast for each seed: from two brokers and a producer to a crowd that fights for one queue. */
export function scenarioOf(seed: number): Scenario {
  const dice = new Dice(seed ^ 0x51ed270b);
  const retentionMsMax = dice.pick([10 * minute, 2 * hour, 6 * hour]);
  const topics: TopicPlan[] = [
    { name: "orders", queues: dice.between(1, 3), volatile: false, retentionMs: 72 * hour },
    {
      name: "payments",
      queues: 1,
      volatile: false,
      retentionMs: dice.between(minute, retentionMsMax),
      retentionMsMax,
    },
    { name: "passing", queues: 1, volatile: true, retentionMs: 72 * hour },
  ];
  const scenario: Scenario = {
    ...delayPlanOf(seed),
    brokers: dice.between(1, 4),
    producers: dice.between(1, 6),
    consumers: dice.between(1, 3),
    readers: dice.between(0, 2),
    finders: 1,
    admins: 1,
    clumsy: dice.between(0, 1),
    transactors: transactorsOf(seed),
    forwarders: forwardersOf(seed),
    webhook: hasWebhook(seed),
    sweepers: dice.chance(0.75) ? 1 : 0,
    groups: [],
    sweepMs: dice.pick([1_000, 90_000]),
    topics: dice.chance(0.3) ? topics.slice(1, 2) : topics,
    thinkMs: dice.pick([5, 50, 500]),
    patience: dice.pick([0, 0.02, 0.3]),
    quietEverySteps: dice.pick([0, 60, 150, 400]),
    asleep: 0.4,
    log: {
      inlineBatchBytesMax: dice.pick([100, 300, 10_000]),
      segmentRowsMax: dice.pick([3, 8, 30]),
      segmentBytesMax: dice.pick([2_000, 20_000, 200_000]),
      segmentAgeMs: dice.pick([minute, 10 * minute, hour]),
      archiveBytesMin: dice.pick([0, 0, 2_000]),
      rowsExpireFreely: dice.chance(0.3),
      // Longer than anybody is stopped.
      strayBlobMs: dice.pick([8 * hour, 24 * hour]),
      cacheBytesMax: dice.pick([0, 5_000, 1_000_000]),
    },
  };
  return inClimate(climateOf(seed), scenario, dice);
}

/** By dice of their own: the others fall as they did. */
function transactorsOf(seed: number): number {
  const dice = new Dice(seed ^ 0x1f83d9ab);
  return dice.chance(0.4) ? dice.between(1, 3) : 0;
}

function forwardersOf(seed: number): number {
  const dice = new Dice(seed ^ 0x5be0cd19);
  return dice.chance(0.4) ? dice.between(2, 4) : 0;
}

/** By dice of their own, too. Such halves end after days, in which what others look for at the end is trimmed. */
function hasWebhook(seed: number): boolean {
  if (forwardersOf(seed) > 0) return false;
  return transactorsOf(seed) > 0 && new Dice(seed ^ 0x9b05688c).chance(0.4);
}

/** Two or all three of the kinds that there are. */
function groupsOf(dice: Dice): Scenario["groups"] {
  const retryMs = dice.pick([[500], [100, 2_000], [1_000, 90_000]]);
  const plan = () => ({
    orderly: false,
    maxAttempts: dice.between(2, 4),
    retryMs,
    polls: false,
    members: dice.between(2, 4),
  });
  const all = [
    { ...plan(), name: "receivers" },
    { ...plan(), name: "orderly", orderly: true, retryMs: [500] },
    { ...plan(), name: "members", polls: true },
  ];
  const left = dice.between(0, 3);
  return all.filter((_, index) => index !== left);
}

function inClimate(climate: Climate, scenario: Scenario, dice: Dice): Scenario {
  const quietEverySteps = dice.pick([60, 150, 300]);
  const brokers = dice.between(2, 4);
  const { log } = scenario;
  // Where all meet in one queue, whose segments do not stay for days.
  const topics = scenario.topics.filter(({ name }) => name === "payments");
  switch (climate) {
    case "mixed":
      return scenario;
    case "consumers":
      return {
        ...scenario,
        ...{ brokers, consumers: 1, readers: 0, clumsy: 0, sweepers: 1, sweepMs: 500 },
        ...{ producers: dice.between(1, 3), quietEverySteps: 0 },
        topics: [
          { name: "orders", queues: dice.between(1, 4), volatile: false, retentionMs: 72 * hour },
        ],
        webhook: false,
        groups: groupsOf(dice),
      };
    case "neglect":
      return { ...scenario, sweepers: 0, quietEverySteps };
    case "eager sweeps":
      return {
        ...scenario,
        ...{ brokers, readers: 2, sweepers: 1, sweepMs: 500, topics, quietEverySteps, asleep: 0.9 },
        log: { ...log, archiveBytesMin: 0, rowsExpireFreely: false, cacheBytesMax: 0 },
      };
    case "zombies":
      return {
        ...scenario,
        ...{ brokers, sweepers: 1, finders: 0, topics, quietEverySteps: 150, asleep: 0 },
        // Whoever is stopped has somebody who waits for him.
        patience: 0.6,
        log: {
          ...log,
          // With segments that get older than rows are kept, the age of a segment does not stop anybody.
          ...{ segmentAgeMs: 6 * hour, archiveBytesMin: 0, rowsExpireFreely: false },
          ...{ segmentRowsMax: dice.pick([3, 8]), inlineBatchBytesMax: 10_000 },
        },
      };
  }
}
