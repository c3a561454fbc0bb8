import type { Scenario } from "./scenario.ts";
import type { World } from "./world.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

/**
 * Times in which no client begins anything while alarms ring and sweeps go on, or in which the whole cell sleeps, so
 * that a run of some seconds of work reaches hours and days. Their lengths lie around the spans that the log counts
 * with: deadlines, the window of retries, the age of segments, the hour that rows are kept, retentions.
 */
export class QuietSpells {
  readonly #world: World;
  readonly #everySteps: number;
  readonly #asleep: number;
  #nextAt: number;

  constructor(
    world: World,
    { quietEverySteps, asleep }: Pick<Scenario, "quietEverySteps" | "asleep">,
  ) {
    this.#world = world;
    this.#everySteps = quietEverySteps;
    this.#asleep = asleep;
    this.#nextAt = this.#draw();
  }

  /** Begins one if it is time to. */
  pass(): void {
    const { steps, now, dice } = this.#world;
    if (steps < this.#nextAt || now < this.#world.quietUntil) return;
    const [min, max] = dice.chance(0.1) ? ([day, 4 * day] as const) : dice.pick(spans);
    const ms = dice.between(min, max);
    if (dice.chance(this.#asleep)) {
      // As a closed laptop: what was under way goes on afterwards, and all that was to be done by then is due at once.
      this.#world.fault("all asleep");
      this.#world.skip(ms);
    } else {
      this.#world.count("quiet spell");
      this.#world.quietUntil = now + ms;
    }
    this.#nextAt = steps + this.#draw();
  }

  #draw(): number {
    if (this.#everySteps === 0) return Number.POSITIVE_INFINITY;
    return this.#world.dice.between(1, 2 * this.#everySteps);
  }
}

const spans = [
  [10_000, 2 * minute],
  [10 * minute, 20 * minute],
  [50 * minute, 80 * minute],
  [hour, 3 * hour],
] as const;
