// How many appends a queue takes from brokers that share nothing, by the simulator's machinery: real broker code, 6 ms
// a store call, no faults. Each sender has a broker of its own and sends one message at a time, once in `--every` ms.
import { parseArgs } from "node:util";
import { MemoryBlobs } from "../src/adapters/memory/memory-blobs.ts";
import { MemoryStore } from "../src/adapters/memory/memory-store.ts";
import { Broker } from "../src/broker/broker.ts";
import { logSettings } from "../src/broker/log/log-settings.ts";
import { metered, Usage } from "../src/broker/metering.ts";
import { sendMessages } from "../src/broker/sending/send-messages.ts";
import { noFaults } from "../test/simulator/fault-rates.ts";
import { LandedLate } from "../test/simulator/landed-late.ts";
import { SimulatedAlarm } from "../test/simulator/simulated-alarm.ts";
import { type SimulatedCell, simulatedPorts } from "../test/simulator/simulated-ports.ts";
import { World } from "../test/simulator/world.ts";

const { values } = parseArgs({
  options: {
    senders: { type: "string", default: "1,8,16,32,128" },
    queues: { type: "string", default: "1,4,16" },
    every: { type: "string", default: "1000,100" },
    seconds: { type: "string", default: "10" },
    seed: { type: "string", default: "1" },
  },
});

interface Row {
  readonly appends: number;
  readonly failed: number;
  readonly latencies: readonly number[];
  readonly usage: Usage;
}

const bodyBytes = 900;
const seconds = Number(values.seconds);
print(
  "every  senders queues  asked/s appends/s failed   p50 ms   p99 ms  p99/p50  calls  write units  read units  $/M",
);
for (const every of numbers(values.every)) {
  for (const queues of numbers(values.queues)) {
    for (const senders of numbers(values.senders))
      show(every, senders, queues, await measure(every, senders, queues));
  }
}

async function measure(every: number, senders: number, queues: number): Promise<Row> {
  const world = new World(Number(values.seed), noFaults, { latencyMs: [3, 3] });
  const store = new MemoryStore({ now: () => world.now, sleep: async () => {} });
  const cell: SimulatedCell = {
    world,
    store,
    landedLate: new LandedLate(),
    blobs: new MemoryBlobs(),
    alarm: new SimulatedAlarm(world, () => {}),
    log: logSettings({}),
  };
  const first = newBroker(cell, "admin");
  void first.topics.ensure(first.ports, "orders", { queues });
  await world.run(() => false);

  const latencies: number[] = [];
  const usage = new Usage();
  let failed = 0;
  const until = world.now + seconds * 1_000;
  for (let sender = 0; sender < senders; sender++) void send(newBroker(cell, `sender${sender}`));
  await world.run(() => false);
  return { appends: latencies.length, failed, latencies: latencies.sort((a, b) => a - b), usage };

  async function send(broker: Broker): Promise<void> {
    const io = metered(broker.ports, usage);
    const body = new Uint8Array(bodyBytes).fill(120);
    await io.clock.sleep(world.dice.between(0, every));
    while (world.now < until) {
      const startedAt = world.now;
      const results = await sendMessages(io, broker, {
        topic: "orders",
        messages: [{ body }],
      });
      if (results.some((result) => "error" in result)) failed++;
      else latencies.push(world.now - startedAt);
      // Asked at a steady rate, with jitter: who is late does not ask more often afterwards.
      await io.clock.sleep(
        world.dice.between(every / 2, (3 * every) / 2) - (world.now - startedAt),
      );
    }
  }
}

function newBroker(cell: SimulatedCell, name: string): Broker {
  const process = { name, dead: false, stalledUntil: 0 };
  const hazards = { crash: () => {}, stall: () => {} };
  return new Broker(simulatedPorts(cell, process, { clockError: 0, hazards }));
}

function show(
  every: number,
  senders: number,
  queues: number,
  { appends, failed, latencies, usage }: Row,
): void {
  const at = (share: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0;
  const [p50, p99] = [at(0.5), at(0.99)];
  const each = (total: number) => (total / Math.max(1, appends)).toFixed(2);
  const dollars = (usage.writeUnits * 0.625 + usage.readUnits * 0.125) / Math.max(1, appends);
  const cells = [
    [every, 5],
    [senders, 8],
    [queues, 6],
    [((senders * 1_000) / every).toFixed(0), 8],
    [(appends / seconds).toFixed(0), 9],
    [failed, 6],
    [p50, 8],
    [p99, 8],
    [(p99 / p50).toFixed(1), 8],
    [each(usage.storeRequests), 6],
    [each(usage.writeUnits), 12],
    [each(usage.readUnits), 11],
    [dollars.toFixed(2), 5],
  ] as const;
  print(cells.map(([cell, width]) => String(cell).padStart(width)).join(" "));
}

function numbers(text: string): number[] {
  return text.split(",").map(Number);
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
