import { type FaultRates, noFaults } from "./fault-rates.ts";
import type { Scenario } from "./scenario.ts";
import { type RunOptions, type RunReport, simulate } from "./simulation.ts";

type Candidate = Required<RunOptions>;

/** Other rolls of the dice that a smaller candidate is tried with: fewer actors throw fewer dice, so the old seed means another run. */
const seedsEach = 40;

/** Reduces a failing run to few actors, few faults and few steps that still break the same invariant. */
export async function shrink(failing: RunReport): Promise<Candidate> {
  const invariant = failing.violations[0]?.invariant;
  let best = failing.options;
  for (let changed = true; changed; ) {
    changed = false;
    for (const candidate of smaller(best)) {
      const seed = await seedThatFails(candidate, invariant);
      if (seed === undefined) continue;
      best = { ...candidate, seed };
      changed = true;
      break;
    }
  }
  return best;
}

async function seedThatFails(
  candidate: Candidate,
  invariant: string | undefined,
): Promise<number | undefined> {
  for (let add = 0; add < seedsEach; add++) {
    const seed = candidate.seed + add;
    const { violations } = await simulate({ ...candidate, seed });
    if (violations.some((violation) => violation.invariant === invariant)) return seed;
  }
  return undefined;
}

/** Actors first: with few of them a run is short and easy to read whatever else happens in it. */
function* smaller(options: Candidate): Generator<Candidate> {
  const { steps, rates, scenario } = options;
  const least = {
    ...{ brokers: 1, producers: 1, consumers: 0, readers: 0, finders: 0, admins: 0, clumsy: 0 },
    sweepers: 0,
    ...{ delayers: 0, recallers: 0, transactors: 0, forwarders: 0 },
  };
  for (const [actor, minimum] of Object.entries(least) as [keyof typeof least, number][]) {
    const fewer = { ...scenario, [actor]: scenario[actor] - 1 };
    if (scenario[actor] > minimum) yield { ...options, scenario: fewer };
  }
  if (scenario.quietEverySteps > 0)
    yield { ...options, scenario: { ...scenario, quietEverySteps: 0 } };
  if (scenario.topics.length > 1) yield { ...options, scenario: fewerTopics(scenario) };
  for (const fault of Object.keys(noFaults) as (keyof FaultRates)[]) {
    if (rates[fault] > 0) yield { ...options, rates: { ...rates, [fault]: 0 } };
  }
  if (steps > 20) yield { ...options, steps: Math.floor(steps / 2) };
}

function fewerTopics(scenario: Scenario): Scenario {
  return { ...scenario, topics: scenario.topics.slice(0, -1) };
}
