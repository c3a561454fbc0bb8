/*
 * Sends requests that were changed at random to a fresh server and demands that each is answered below 500 and that all
 * that was stored can be read.
 *
 *   node --import tsx scripts/fuzz.ts [runs] [seed]
 */
import { fuzzBatches, fuzzJson, prepareFuzz } from "../test/support/fuzzers.ts";
import { readEverything } from "../test/support/stored.ts";
import { processTarget } from "../test/support/targets.ts";

const [runs = 10_000, seed = Date.now() % 2 ** 31] = process.argv.slice(2).map(Number);
say(`${runs} runs of each kind, seed ${seed}`);
const server = await processTarget.start();
try {
  await prepareFuzz(server.url);
  for (const [kind, fuzz] of [
    ["JSON", fuzzJson],
    ["batches", fuzzBatches],
  ] as const) {
    const tally = await fuzz({ url: server.url, seed, runs });
    const answers = [...tally].sort().map(([status, count]) => `${count} x ${status}`);
    say(`${kind}: ${answers.join(", ")}; ${await readEverything(server.url)} messages read`);
  }
} finally {
  await server.stop();
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
