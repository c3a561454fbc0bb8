import { parseArgs } from "node:util";
import { seededRandom } from "../../src/adapters/faulty/faults.ts";

export interface CommandLine {
  readonly seed: number;
  /** Only the control is wanted: the run with a known bug, which has to be caught. */
  readonly controlOnly: boolean;
  readonly random: () => number;
}

/** Reads `--seed N --control` and how much is to be done, as in `--rounds N`; tells the seed, so that a run can be asked for again. */
export function readCommandLine<Amount extends string>(
  name: string,
  defaults: Readonly<Record<Amount, number>>,
): CommandLine & Readonly<Record<Amount, number>> {
  const seedDefault = Math.floor(Math.random() * 2 ** 32);
  const given: Readonly<Record<string, number>> = { seed: seedDefault, ...defaults };
  const numberOptions = Object.entries(given).map(
    ([each, number]) => [each, { type: "string", default: String(number) }] as const,
  );
  const control = { type: "boolean", default: false } as const;
  const values: Readonly<Record<string, unknown>> = parseArgs({
    options: { ...Object.fromEntries(numberOptions), control },
  }).values;
  const numbers = Object.fromEntries(
    Object.keys(given).map((each) => [each, wholeNumber(each, values[each])]),
  ) as Readonly<Record<"seed" | Amount, number>>;
  const controlOnly = values["control"] === true;
  const told = Object.entries(numbers).map(([each, number]) => ` --${each} ${number}`);
  say(`${name}${told.join("")}${controlOnly ? " --control" : ""}`);
  return { ...numbers, controlOnly, random: seededRandom(numbers.seed) };
}

function wholeNumber(option: string, text: unknown): number {
  if (typeof text !== "string" || !/^\d{1,10}$/.test(text))
    throw new Error(`--${option} must be a whole number, not ${text}`);
  return Number(text);
}

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
