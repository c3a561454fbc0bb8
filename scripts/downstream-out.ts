/*
 * A downstream that is out for an hour, in simulated time: one queue, 100 messages a second for an hour and a half, every
 * other one for a downstream whose consumers give it back, by the default ladder, while it is out; the others are healthy.
 *
 *   node --import tsx scripts/downstream-out.ts [--seed N] [--out 60] [--control]
 *
 * `--out` is the length of the outage in minutes; a quarter of that all is well before it, and again after it. Four
 * connections take at most 32 messages a request; a call of the store takes 5 ms, a request 2 ms more, and a message 3 ms
 * of work, so they do about 1,000 a second. One in 2,000 of those for the downstream that come before the outage fails
 * always. Demanded: of the healthy messages at least 0.9 are finished of what is finished in the same run without an
 * outage, in all of the outage and in its worst minute; no state of a queue is put that takes more than 4 KB; what was
 * given back comes again within a tick (1 s) of its instant and the longest that a connection was busy with one answer;
 * in the end each is acknowledged once, and those that always fail are dead after 16 attempts. Controls, with a shorter outage: what waits
 * long stays in the state of its queue; what leaves the state comes 3 s late.
 */
import { readCommandLine, say } from "./audit/command-line.ts";
import { judge, printTable, printViolations } from "./audit/report.ts";
import { finish, type Patch } from "./audit/server-process.ts";
import { type SimulatedCell, simulatedCells } from "./audit/simulated.ts";

type Received = Awaited<ReturnType<SimulatedCell["receive"]>>[number];

const topic = "orders";
const group = "billing";
const connections = 4;
const storeMs = 5;
const requestMs = 2;
const workMs = 3;
const perSecond = 100;
const sendEveryMs = 100;
const minute = 60_000;
const tickMs = 1_000;
const ratioMin = 0.9;
const stateBytesMax = 4_096;
const maxAttempts = 16;
const alwaysFailsOneIn = 2_000;
const ladder = [
  10_000,
  30_000,
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30, 60, 120].map((minutes) => minutes * minute),
];
const { controlOnly, seed, out } = readCommandLine("downstream-out", { out: 60 });

/** A run with an outage of so many minutes, or of the same length without one. */
interface Plan {
  readonly outMinutes: number;
  readonly isOut: boolean;
}

/** Who sends, who consumes, and what they saw. Instants count from the beginning (ms). */
class Run {
  readonly #cell: SimulatedCell;
  readonly #isOut: boolean;
  readonly #beganAt: number;
  readonly #outFrom: number;
  readonly #outTo: number;
  readonly #count: number;
  /** By message: when it was sent, when it is due again, how often it was given out and acknowledged. */
  readonly #sentAt: Float64Array;
  readonly #dueAt: Float64Array;
  readonly #attempts: Uint8Array;
  readonly #acks: Uint8Array;
  #acknowledged = 0;
  readonly lateness: number[] = [];
  /** Of healthy messages that were sent during the outage: from their sending to their acknowledgement. */
  readonly latencies: number[] = [];
  /** Healthy messages that were acknowledged, by the minute of the outage. */
  readonly byMinute: number[];
  readonly violations: string[] = [];
  longestTurnMs = 0;
  receives = 0;

  constructor(cell: SimulatedCell, { outMinutes, isOut }: Plan) {
    this.#cell = cell;
    this.#isOut = isOut;
    this.#beganAt = cell.clock.now();
    this.#outFrom = (outMinutes / 4) * minute;
    this.#outTo = this.#outFrom + outMinutes * minute;
    this.#count = (1.5 * outMinutes * minute * perSecond) / 1_000;
    this.#sentAt = new Float64Array(this.#count);
    this.#dueAt = new Float64Array(this.#count);
    this.#attempts = new Uint8Array(this.#count);
    this.#acks = new Uint8Array(this.#count);
    this.byMinute = new Array<number>(outMinutes).fill(0);
  }

  get #now(): number {
    return this.#cell.clock.now() - this.#beganAt;
  }

  /** How often things were given out. */
  get given(): number {
    return this.#attempts.reduce((sum, each) => sum + each, 0);
  }

  async run(): Promise<void> {
    const endsAt = this.#outTo + this.#outFrom + 6 * 60 * minute;
    const consumers = Array.from({ length: connections }, (_, index) =>
      this.#consume(index, endsAt),
    );
    await Promise.all([this.#send(), ...consumers]);
    // The last one is on its way to the dead letters.
    await this.#cell.clock.sleep(tickMs);
    await this.#judgeEnd();
  }

  async #send(): Promise<void> {
    const { clock } = this.#cell;
    const size = (perSecond * sendEveryMs) / 1_000;
    for (let first = 0; first < this.#count; first += size) {
      const messages = Array.from({ length: size }, (_, index) => {
        this.#sentAt[first + index] = this.#now;
        return { body: Buffer.from(String(first + index)) };
      });
      await this.#cell.send(topic, messages);
      await clock.sleep(((first + size) * 1_000) / perSecond - this.#now);
    }
  }

  /** Until everything is done. Once only those are left that always fail, one connection is enough. */
  async #consume(connection: number, endsAt: number): Promise<void> {
    const { clock } = this.#cell;
    for (;;) {
      const left = this.#count - this.#acknowledged;
      if (this.#now >= endsAt || left === 0) return;
      if (left <= this.#alwaysFailing && (connection > 0 || this.#areDead())) return;
      if (left <= this.#alwaysFailing) await clock.sleep(this.#nextDueAt() - requestMs - this.#now);
      await clock.sleep(requestMs);
      this.receives++;
      const got = await this.#cell.receive({ group, topic, waitMs: 20_000 });
      const takenAt = this.#now;
      const failed: Received[] = [];
      const fine: Received[] = [];
      for (const each of got) this.#arrived(each);
      for (const each of got) {
        await clock.sleep(workMs);
        (this.#fails(idOf(each)) ? failed : fine).push(each);
      }
      if (got.length > 0) await clock.sleep(requestMs);
      if (fine.length > 0) await this.#ack(fine);
      if (failed.length > 0) await this.#nack(failed);
      this.longestTurnMs = Math.max(this.longestTurnMs, this.#now - takenAt);
    }
  }

  #arrived(received: Received): void {
    const id = idOf(received);
    const attempt = increased(this.#attempts, id);
    const { deliveryAttempt } = received;
    if (attempt !== deliveryAttempt)
      this.violations.push(`${id}: delivery ${attempt} says that it is ${deliveryAttempt}`);
    if (attempt > 1) this.lateness.push(this.#now - (this.#dueAt[id] ?? 0));
  }

  async #ack(received: readonly Received[]): Promise<void> {
    for (const code of await this.#cell.ack(group, received))
      this.violations.push(`an acknowledgement is refused: ${code}`);
    const now = this.#now;
    for (const each of received) {
      const id = idOf(each);
      if (increased(this.#acks, id) > 1) this.violations.push(`${id}: acknowledged twice`);
      else this.#acknowledged++;
      if (!isHealthy(id)) continue;
      const sentAt = this.#sentAt[id] ?? 0;
      if (this.#isInOutage(sentAt)) this.latencies.push(now - sentAt);
      const at = Math.floor((now - this.#outFrom) / minute);
      if (this.#isInOutage(now)) this.byMinute[at] = (this.byMinute[at] ?? 0) + 1;
    }
  }

  async #nack(received: readonly Received[]): Promise<void> {
    const givenBackAt = this.#now;
    for (const code of await this.#cell.nack(group, received))
      this.violations.push(`giving back is refused: ${code}`);
    for (const { stored, deliveryAttempt } of received) {
      const isLast = deliveryAttempt === maxAttempts;
      const waitMs = isLast ? Number.POSITIVE_INFINITY : (ladder[deliveryAttempt - 1] ?? 0);
      this.#dueAt[Number(bodyOf(stored.message.body))] = givenBackAt + waitMs;
    }
  }

  #isInOutage(at: number): boolean {
    return at >= this.#outFrom && at < this.#outTo;
  }

  #fails(id: number): boolean {
    return (this.#isOut && !isHealthy(id) && this.#isInOutage(this.#now)) || this.#alwaysFails(id);
  }

  /** Only in the run with an outage: they take five hours more. */
  #alwaysFails(id: number): boolean {
    return this.#isOut && id < this.#earlyCount && id % alwaysFailsOneIn === 1;
  }

  get #earlyCount(): number {
    return (this.#outFrom * perSecond) / 1_000;
  }

  get #alwaysFailing(): number {
    return this.#isOut ? Math.ceil((this.#earlyCount - 1) / alwaysFailsOneIn) : 0;
  }

  /** When the next of those comes that always fail: nobody asks before, for that would take hours. */
  #nextDueAt(): number {
    let nextAt = Number.POSITIVE_INFINITY;
    for (let id = 1; id < this.#earlyCount; id += alwaysFailsOneIn)
      nextAt = Math.min(nextAt, this.#dueAt[id] ?? 0);
    return nextAt;
  }

  #areDead(): boolean {
    for (let id = 1; id < this.#earlyCount; id += alwaysFailsOneIn)
      if ((this.#attempts[id] ?? 0) < maxAttempts) return false;
    return true;
  }

  async #judgeEnd(): Promise<void> {
    const dead = new Map<number, string>();
    for (const { stored, past } of await this.#cell.deadLetters(group))
      dead.set(Number(bodyOf(stored.message.body)), `${past.reason} ${past.attempts}`);
    for (let id = 0; id < this.#count; id++) {
      const acks = this.#acks[id] ?? 0;
      const told = dead.get(id);
      const wanted = this.#alwaysFails(id) ? `attempts ${maxAttempts}` : undefined;
      if (acks !== (wanted === undefined ? 1 : 0) || told !== wanted)
        this.violations.push(`${id}: acknowledged ${acks} times, dead: ${told ?? "no"}`);
    }
    const lag = await this.#cell.lag(group, topic);
    if (lag !== 0) this.violations.push(`${lag} messages are left`);
    const [early, late] = [percentile(this.lateness, 0), percentile(this.lateness, 1)];
    if (early < -tickMs) this.violations.push(`a message is ${-early} ms early`);
    if (late > tickMs + this.longestTurnMs)
      this.violations.push(`a message is ${late} ms late, and no turn took ${this.longestTurnMs}`);
    this.violations.push(...this.#cell.failures.map((failure) => `the broker failed: ${failure}`));
  }
}

const bodyOf = (bytes: Uint8Array) => Buffer.from(bytes).toString();
const idOf = ({ stored }: Received) => Number(bodyOf(stored.message.body));
const isHealthy = (id: number) => id % 2 === 0;

function increased(counts: Uint8Array, at: number): number {
  const count = (counts[at] ?? 0) + 1;
  counts[at] = count;
  return count;
}

function percentile(numbers: readonly number[], share: number): number {
  const sorted = Float64Array.from(numbers).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

interface Outcome {
  readonly violations: readonly string[];
  readonly byMinute: readonly number[];
}

async function runOnce(name: string, plan: Plan, patches: readonly Patch[] = []): Promise<Outcome> {
  const began = performance.now();
  let largest = 0;
  let tooLarge = 0;
  let puts = 0;
  const cell = (await simulatedCells(name, patches))({
    seed,
    storeMs,
    onCommit: (writes) => {
      for (const write of writes) {
        if (write.kind !== "put" || write.key.partition[0] !== "R".charCodeAt(0)) continue;
        const { partition, sort } = write.key;
        const bytes = write.value.length + partition.length + sort.length + write.version.length;
        puts++;
        if (bytes > stateBytesMax) tooLarge++;
        largest = Math.max(largest, bytes);
      }
    },
  });
  await cell.ensureTopic(topic, 1);
  cell.begin();
  const run = new Run(cell, plan);
  await run.run();
  cell.end();
  const { violations, byMinute, lateness, latencies } = run;
  if (tooLarge > 0)
    violations.push(`${tooLarge} states of ${puts} are larger than 4 KB, up to ${largest} bytes`);
  const table = (numbers: readonly number[]) => ({
    p50: percentile(numbers, 0.5),
    p99: percentile(numbers, 0.99),
    p999: percentile(numbers, 0.999),
    least: percentile(numbers, 0),
    most: percentile(numbers, 1),
  });
  printTable([
    { "(ms)": "healthy: sent to acknowledged", ...table(latencies) },
    { "(ms)": "given back: late", ...table(lateness) },
  ]);
  const seconds = ((performance.now() - began) / 1_000).toFixed(0);
  say(
    `  given out ${run.given} times in ${run.receives} receives; ${puts} states, the largest ${largest} bytes; longest turn ${run.longestTurnMs} ms; took ${seconds} s`,
  );
  printViolations(violations);
  return { violations, byMinute };
}

const total = (numbers: readonly number[]) => numbers.reduce((sum, each) => sum + each, 0);

/** How much of the throughput of healthy messages is kept, in all of the outage and in its worst minute. */
function kept(during: Outcome, without: Outcome): { readonly all: number; readonly worst: number } {
  const ratios = during.byMinute.map((count, at) => count / (without.byMinute[at] ?? 0));
  return { all: total(during.byMinute) / total(without.byMinute), worst: Math.min(...ratios) };
}

/** All of it that is in the way of that. */
const staysInTheState: readonly Patch[] = [
  {
    file: "src/broker/limits.ts",
    find: "waitInStateMsMax: minute,",
    replace: "waitInStateMsMax: 600 * minute,",
  },
  {
    file: "src/broker/limits.ts",
    find: "queueStateBytesMax: 4_000,",
    replace: "queueStateBytesMax: 380_000,",
  },
  {
    file: "src/broker/consuming/settle-receipts.ts",
    find: "const bytesForGivenBack = 1_800;",
    replace: "const bytesForGivenBack = 300_000;",
  },
];
const lateByThreeSeconds: Patch = {
  file: "src/broker/consuming/leaving.ts",
  find: "copies.push({ topic: name, queue, messageId, dueAt, id",
  replace: "copies.push({ topic: name, queue, messageId, dueAt: dueAt + 3_000, id",
};

async function real(): Promise<boolean> {
  say(`without an outage, ${1.5 * out} minutes`);
  const without = await runOnce("downstream-well", { outMinutes: out, isOut: false });
  say(`out for ${out} minutes of ${1.5 * out}`);
  const during = await runOnce("downstream-out", { outMinutes: out, isOut: true });
  const { all, worst } = kept(during, without);
  const violations = [...without.violations, ...during.violations];
  return [
    judge(
      "rows stay small, nothing is late, each is acknowledged once or dead",
      violations.length === 0,
    ),
    judge(
      `healthy messages keep ${all.toFixed(3)} of their throughput, ${worst.toFixed(3)} in the worst minute, ${ratioMin} demanded`,
      Math.min(all, worst) >= ratioMin,
    ),
  ].every(Boolean);
}

const controlOut = 4;

async function controls(): Promise<boolean> {
  say(`controls, out for ${controlOut} minutes; first without an outage`);
  const without = await runOnce("downstream-well", { outMinutes: controlOut, isOut: false });
  say("control: what waits long stays in the state of its queue");
  const plan = { outMinutes: controlOut, isOut: true };
  const grown = await runOnce("downstream-grown", plan, staysInTheState);
  say("control: what leaves the state comes 3 s late");
  const late = await runOnce("downstream-late", plan, [lateByThreeSeconds]);
  const { all } = kept(grown, without);
  return [
    judge(
      `the audit notices states that are full: healthy messages keep ${all.toFixed(3)}`,
      all < ratioMin || grown.violations.some((text) => text.includes("larger than 4 KB")),
    ),
    judge(
      "the audit notices what is late",
      late.violations.some((text) => text.includes("ms late")),
    ),
  ].every(Boolean);
}

const passed = controlOnly || (await real());
const caught = await controls();
finish(passed && caught);
