import { parseArgs } from "node:util";
import { seededRandom } from "../../src/adapters/faulty/faults.ts";

export interface CommandLine {
  readonly seed: number;
  readonly rounds: number;
  /** Only the control is wanted: the run with a known bug, which has to be caught. */
  readonly controlOnly: boolean;
  readonly random: () => number;
}

/** Reads `--seed N --rounds N --control` and tells the seed, so that a run can be asked for again. */
export function readCommandLine(name: string, defaults: { readonly rounds: number }): CommandLine {
  const { values } = parseArgs({
    options: {
      seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 32)) },
      rounds: { type: "string", default: String(defaults.rounds) },
      control: { type: "boolean", default: false },
    },
  });
  const seed = wholeNumber("seed", values.seed);
  const rounds = wholeNumber("rounds", values.rounds);
  say(`${name} --seed ${seed} --rounds ${rounds}${values.control ? " --control" : ""}`);
  return { seed, rounds, controlOnly: values.control, random: seededRandom(seed) };
}

function wholeNumber(option: string, text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new Error(`--${option} must be a whole number, not ${text}`);
  return Number(text);
}

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
