/* One of several writer processes: sends to a queue until it is told to stop, and hands over what it wrote down. */
import { seededRandom } from "../../src/adapters/faulty/faults.ts";
import { oneConnection } from "./http.ts";
import { isDecided, Ledger, type LedgerPages } from "./ledger.ts";
import { attempt } from "./producer.ts";
import { newSending } from "./workload.ts";

export interface WriterOrders {
  readonly name: string;
  readonly url: string;
  readonly topic: string;
  readonly seed: number;
}

/** A writer's times begin when its process did; these are for the clock of the machine. */
export type WriterPages = LedgerPages & { readonly timeOrigin: number };

const decideWithinMs = 60_000;

async function write({ name, url, topic, seed }: WriterOrders, going: () => boolean) {
  const ledger = new Ledger(`${name}-`);
  const agent = oneConnection();
  const workload = { random: seededRandom(seed), topic, queues: 1, withIdShare: 1, hotShare: 1 };
  while (going()) {
    const sending = newSending(workload, ledger, name);
    const until = performance.now() + decideWithinMs;
    do await attempt(agent, url, ledger, sending);
    while (!isDecided(sending) && performance.now() < until);
    if (!isDecided(sending)) ledger.violations.push("a batch was not decided in 60 s");
  }
  agent.destroy();
  return ledger;
}

// Nobody is left to hand anything to.
process.once("disconnect", () => process.exit());

process.once("message", async (orders: WriterOrders) => {
  let going = true;
  process.once("message", () => {
    going = false;
  });
  const { sendings, violations, errors, unanswered, attempts } = await write(orders, () => going);
  const pages = { sendings, violations, errors, unanswered, attempts };
  const handed: WriterPages = { ...pages, timeOrigin: performance.timeOrigin };
  process.send?.(handed, () => process.disconnect());
});
