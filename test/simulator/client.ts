import type { Cluster, Reply, Request } from "./cluster.ts";
import type { Process, World } from "./world.ts";

/**
 * A program that uses the broker. It may die at any call and come back as a new life that knows only what the old one
 * wrote down, and it may stop for longer than any deadline.
 */
export class Client {
  readonly name: string;
  readonly world: World;
  readonly #cluster: Cluster;
  readonly #live: (client: Client) => Promise<void>;
  readonly #restless: boolean;
  #process: Process;

  /** `live` is what it does in each life, until it returns or dies. Who is restless acts in quiet spells too. */
  constructor(
    name: string,
    cluster: Cluster,
    live: (client: Client) => Promise<void>,
    { restless = false } = {},
  ) {
    this.name = name;
    this.world = cluster.cell.world;
    this.#cluster = cluster;
    this.#live = live;
    this.#restless = restless;
    this.#process = this.#start();
  }

  /** True once no new work is to be begun. */
  get done(): boolean {
    return this.world.calm;
  }

  async call<T>(
    operation: string,
    request: Request<T>,
    options?: { readonly repeatable?: boolean },
  ): Promise<Reply<T>> {
    const process = this.#process;
    await this.#sleepThroughQuiet(process);
    const { dice, rates, calm } = this.world;
    if (!calm && dice.chance(rates.crash)) this.#crash(process);
    if (!calm && dice.chance(rates.stall)) {
      this.world.fault("client stall");
      process.stalledUntil = this.world.now + dice.between(1_000, 150_000);
    }
    return this.#cluster.call(process, operation, request, options);
  }

  pause(ms: number): Promise<void> {
    return this.world.sleep(this.#process, ms);
  }

  /** Does nothing any more. */
  retire(): void {
    this.#process.dead = true;
  }

  async #sleepThroughQuiet(process: Process): Promise<void> {
    const { world } = this;
    const left = world.quietUntil - world.now;
    if (left > 0 && !this.#restless && !world.calm)
      await world.sleep(process, left + world.dice.between(0, 1_000));
  }

  #crash(process: Process): void {
    const { world } = this;
    world.fault("client crash");
    world.after(world.dice.between(0, 40), () => {
      // It may crash twice before it is dead, and comes back once all the same.
      if (process.dead) return;
      process.dead = true;
      world.after(world.dice.between(10, 20_000), () => {
        this.#process = this.#start();
      });
    });
  }

  #start(): Process {
    const process: Process = { name: this.name, dead: false, stalledUntil: 0 };
    this.world.deliver(process, this.world.dice.between(0, 200), () => void this.#live(this));
    return process;
  }
}
