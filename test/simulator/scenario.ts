import { Dice } from "./dice.ts";

export interface TopicPlan {
  readonly name: string;
  readonly queues: number;
  /** Deleted and made again now and then. */
  readonly volatile: boolean;
}

/** Who takes part in a run. */
export interface Scenario {
  readonly brokers: number;
  readonly producers: number;
  readonly consumers: number;
  readonly readers: number;
  readonly admins: number;
  readonly clumsy: number;
  readonly topics: readonly TopicPlan[];
  /** Clients pause for up to so long between two requests (ms). */
  readonly thinkMs: number;
}

/** A cast for each seed: from two brokers and a producer to a crowd that fights for one queue. */
export function scenarioOf(seed: number): Scenario {
  const dice = new Dice(seed ^ 0x51ed270b);
  const topics: TopicPlan[] = [
    { name: "orders", queues: dice.between(1, 3), volatile: false },
    { name: "payments", queues: 1, volatile: false },
    { name: "passing", queues: 1, volatile: true },
  ];
  return {
    brokers: dice.between(1, 4),
    producers: dice.between(1, 6),
    consumers: dice.between(1, 3),
    readers: dice.between(0, 2),
    admins: 1,
    clumsy: dice.between(0, 1),
    topics: dice.chance(0.3) ? topics.slice(1, 2) : topics,
    thinkMs: dice.pick([5, 50, 500]),
  };
}
