import { MemoryBlobs } from "../../src/adapters/memory/memory-blobs.ts";
import { MemoryStore } from "../../src/adapters/memory/memory-store.ts";
import { Broker, isForSweep } from "../../src/broker/broker.ts";
import { BrokerError, isBrokerError } from "../../src/broker/errors.ts";
import { logSettings } from "../../src/broker/log/log-settings.ts";
import { metered, Usage } from "../../src/broker/metering.ts";
import { toBrokerError } from "../../src/broker/port-errors.ts";
import type { AlarmId } from "../../src/broker/ports/alarm.ts";
import type { Ports } from "../../src/broker/ports/ports.ts";
import { minuteOfAlarm } from "../../src/broker/timers/minute-alarm.ts";
import { LandedLate } from "./landed-late.ts";
import type { Scenario } from "./scenario.ts";
import { SimulatedAlarm } from "./simulated-alarm.ts";
import { type SimulatedCell, simulatedPorts } from "./simulated-ports.ts";
import { walkOn } from "./walk-on.ts";
import type { Process, World } from "./world.ts";

/** What a client knows of a request afterwards. */
export type Reply<T> = (
  | { readonly outcome: "ok"; readonly value: T }
  | { readonly outcome: "refused"; readonly error: BrokerError }
  /** `damaged`: it was told that stored bytes are damaged. */
  | { readonly outcome: "unknown"; readonly damaged?: boolean }
) & {
  /** The network sent the request a second time: another answer than this one may be true as well. */
  readonly repeated?: boolean;
};

export type Request<T> = (broker: Broker, io: Ports) => Promise<T>;

const clientTimeoutMs = 15_000;
/** A patient client waits as long as it takes. */
const patientTimeoutMs = 4 * 3_600_000;

/** The brokers of a cell. They share its store and nothing else; clients reach any of them over a network that loses and delays. */
export class Cluster {
  readonly cell: SimulatedCell;
  /** Errors that no caller can have caused: bugs, or stored bytes that went wrong. */
  readonly bugs: string[] = [];
  readonly #brokers: SimulatedBroker[];
  readonly #patience: number;
  readonly #walking: Scenario["walking"];

  constructor(
    world: World,
    {
      brokers,
      patience,
      walking,
      delayers,
      log,
    }: Pick<Scenario, "brokers" | "patience" | "walking" | "delayers" | "log">,
  ) {
    this.#patience = patience;
    this.#walking = walking;
    const store = new MemoryStore({ now: () => world.now, sleep: async () => {} });
    const alarm = new SimulatedAlarm(world, (id) => this.#ring(id));
    this.cell = {
      world,
      store,
      landedLate: new LandedLate(),
      blobs: new MemoryBlobs(),
      alarm,
      log: logSettings({ groupBytesMax: 262_144, pollMs: 500, ...log }),
    };
    this.#brokers = Array.from(
      { length: brokers },
      (_, index) =>
        new SimulatedBroker(`broker${index + 1}`, this.cell, {
          bugs: this.bugs,
          walks: walking === "always" && delayers > 0 && index === 0,
        }),
    );
  }

  /** Sends a request to a broker of the dice's choice, on behalf of a client process. */
  call<T>(
    client: Process,
    operation: string,
    request: Request<T>,
    { repeatable = false } = {},
  ): Promise<Reply<T>> {
    const { world } = this.cell;
    const { dice, rates } = world;
    const chosen = dice.pick(this.#brokers);
    world.count(`operation ${operation}`);
    world.note(() => `${client.name} ${operation} -> ${chosen.name}`);
    return new Promise((resolve) => {
      let answered = false;
      const answer = (ms: number, reply: Reply<T>) =>
        world.deliver(client, ms, () => {
          if (answered) return;
          answered = true;
          world.note(() => `${client.name} ${operation} <- ${chosen.name}: ${told(reply)}`);
          resolve(reply);
        });
      const patient = !world.calm && dice.chance(this.#patience);
      answer(patient ? patientTimeoutMs : clientTimeoutMs, { outcome: "unknown" });
      if (world.befalls("request lost", rates.lostCall / 2)) return;
      // A proxy that got no answer tries another broker by itself, and passes on what it hears first.
      const twice = repeatable && world.befalls("request twice", rates.lateCall);
      if (twice) {
        const other = dice.pick(this.#brokers);
        world.after(dice.between(1, dice.pick([20, 2_000, 60_000, 660_000])), () =>
          other.serve(operation, request, () => {}),
        );
      }
      const late = world.befalls("request late", rates.lateCall)
        ? dice.between(500, dice.pick([5_000, 90_000, 660_000]))
        : 0;
      world.after(late + dice.between(1, 10), () => {
        if (chosen.broker === undefined) {
          answer(1, {
            outcome: "refused",
            error: new BrokerError("unavailable", "nobody listens"),
            repeated: twice,
          });
          return;
        }
        chosen.serve(operation, request, (reply) => {
          if (!world.befalls("reply lost", rates.lostCall / 2))
            answer(dice.between(1, 10), { ...reply, repeated: twice });
        });
      });
    });
  }

  /** The same without a network or faults, for the audit at the end. */
  async ask<T>(request: Request<T>): Promise<T> {
    const { world } = this.cell;
    const observer = new SimulatedBroker("auditor", this.cell, {
      bugs: this.bugs,
      perfect: true,
    });
    let result: { value: T } | { error: unknown } | undefined;
    const { broker } = observer;
    if (broker === undefined) throw new Error("a new broker lives");
    request(broker, broker.ports).then(
      (value) => {
        result = { value };
      },
      (error: unknown) => {
        result = { error };
      },
    );
    await world.run(() => result !== undefined);
    if (result === undefined || "error" in result)
      throw result?.error ?? new Error("the request never ended");
    return result.value;
  }

  #ring(id: AlarmId): void {
    const { world } = this.cell;
    const chosen = world.dice.pick(this.#brokers);
    const minute = minuteOfAlarm(id);
    world.note(() => `alarm ${id} rings ${chosen.name}`);
    if (minute === undefined && !isForSweep(id)) {
      const onError = chosen.onError("ask webhooks");
      chosen.serve(
        "ask webhooks",
        (broker, io) => broker.ring(io, id, { until: io.clock.now() + 30_000, onError }),
        () => {},
      );
    } else if (minute === undefined) {
      chosen.serve(
        "sweep",
        (broker, io) => broker.sweep(io),
        () => {},
      );
    } else if (this.#walking === "always") chosen.broker?.walker.rewind(minute);
    else if (this.#walking === "when rung") {
      world.count("operation ring");
      // A function has a time limit, too; and nothing is to be found by walks that wait for minutes.
      const ms = world.calm ? 1_000 : world.dice.pick([500, 3_000, 3_000, 8_000, 70_000]);
      const onError = chosen.onError("ring");
      chosen.serve(
        "ring",
        (broker, io) => broker.ring(io, id, { until: io.clock.now() + ms, onError }),
        () => {},
      );
    }
  }
}

/** A broker process that dies, comes back with nothing remembered, and stops for a while now and then. */
class SimulatedBroker {
  readonly name: string;
  broker: Broker | undefined;
  readonly #cell: SimulatedCell;
  readonly #clockError: number;
  readonly #bugs: string[];
  readonly #walks: boolean;

  constructor(
    name: string,
    cell: SimulatedCell,
    {
      bugs,
      perfect = false,
      walks = false,
    }: { readonly bugs: string[]; readonly perfect?: boolean; readonly walks?: boolean },
  ) {
    const { dice, rates } = cell.world;
    this.name = name;
    this.#cell = cell;
    this.#bugs = bugs;
    this.#walks = walks;
    this.#clockError = perfect ? 0 : dice.between(-rates.clockErrorMs, rates.clockErrorMs);
    this.#start();
  }

  serve<T>(operation: string, request: Request<T>, reply: (reply: Reply<T>) => void): void {
    const { broker } = this;
    if (broker === undefined) return;
    request(broker, metered(broker.ports, new Usage())).then(
      (value) => reply({ outcome: "ok", value }),
      (cause: unknown) => {
        const error = this.#judge(operation, cause);
        if (!isBrokerError(error) || error.status === 500)
          reply({ outcome: "unknown", damaged: isBrokerError(error) && error.code === "corrupt" });
        else if (error.effects === "none") reply({ outcome: "refused", error });
        else reply({ outcome: "unknown" });
      },
    );
  }

  /** Hears what fails of work that nobody waits for. */
  onError(operation: string): (cause: unknown) => void {
    return (cause) => void this.#judge(operation, cause);
  }

  /** The error as a caller is told it; one that no caller can have caused is a bug. */
  #judge(operation: string, cause: unknown): unknown {
    const error = toBrokerError(cause);
    if (!isBrokerError(error) || error.status === 500) {
      const { message, stack } = error as Error;
      this.#cell.world.note(() => `${this.name} ${operation} met a bug: ${message}`);
      this.#bugs.push(`${operation} at ${this.name}: ${stack}`);
    }
    return error;
  }

  #start(): void {
    const { world } = this.#cell;
    const process: Process = { name: this.name, dead: false, stalledUntil: 0 };
    const ports = simulatedPorts(this.#cell, process, {
      clockError: this.#clockError,
      hazards: {
        crash: () => {
          process.dead = true;
          this.broker = undefined;
          world.after(world.dice.between(10, 20_000), () => this.#start());
        },
        stall: (ms) => {
          process.stalledUntil = Math.max(process.stalledUntil, world.now + ms);
        },
      },
    });
    this.broker = new Broker(ports, this.#cell.log);
    this.broker.walker.delivery.onDamaged = this.onError("delivery");
    this.broker.webhookChecks.onError = this.onError("ask webhooks");
    this.broker.webhookChecks.describe = () => ({});
    if (this.#walks) void walkOn(world, this.broker, this.onError("walk"));
  }
}

function told(reply: Reply<unknown>): string {
  if (reply.outcome === "refused") return `refused ${reply.error.code}`;
  return reply.outcome === "ok" ? `ok ${JSON.stringify(reply.value)}` : "unknown";
}
