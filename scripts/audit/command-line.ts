import { parseArgs } from "node:util";
import { seededRandom } from "../../src/adapters/faulty/faults.ts";

export interface CommandLine {
  readonly seed: number;
  /** Only the control is wanted: the run with a known bug, which has to be caught. */
  readonly controlOnly: boolean;
  readonly random: () => number;
}

/** Reads `--seed N --control`, how much is to be done, as in `--rounds N`, flags of the script's own, and options with the words that they may be; tells the seed, so that a run can be asked for again. */
export function readCommandLine<
  Amount extends string,
  Flag extends string = never,
  Choice extends string = never,
>(
  name: string,
  defaults: Readonly<Record<Amount, number>>,
  flags: readonly Flag[] = [],
  choices = {} as Readonly<Record<Choice, readonly string[]>>,
): CommandLine &
  Readonly<Record<Amount, number>> &
  Readonly<Record<Flag, boolean>> &
  Readonly<Record<Choice, string | undefined>> {
  const seedDefault = Math.floor(Math.random() * 2 ** 32);
  const given: Readonly<Record<string, number>> = { seed: seedDefault, ...defaults };
  const numberOptions = Object.entries(given).map(
    ([each, number]) => [each, { type: "string", default: String(number) }] as const,
  );
  const control = { type: "boolean", default: false } as const;
  const word = { type: "string" } as const;
  const values: Readonly<Record<string, unknown>> = parseArgs({
    options: {
      ...Object.fromEntries(numberOptions),
      ...Object.fromEntries(flags.map((flag) => [flag, control] as const)),
      ...Object.fromEntries(Object.keys(choices).map((each) => [each, word] as const)),
      control,
    },
  }).values;
  const numbers = Object.fromEntries(
    Object.keys(given).map((each) => [each, wholeNumber(each, values[each])]),
  ) as Readonly<Record<"seed" | Amount, number>>;
  const controlOnly = values["control"] === true;
  const told = Object.entries(numbers).map(([each, number]) => ` --${each} ${number}`);
  const wanted = [...flags, "control"].filter((flag) => values[flag] === true);
  const chosen = Object.entries<readonly string[]>(choices).flatMap(([each, words]) => {
    const text = values[each];
    if (text === undefined) return [];
    if (words.includes(String(text))) return [[each, String(text)] as const];
    throw new Error(`--${each} must be ${words.join(" or ")}, not ${text}`);
  });
  told.push(...chosen.map(([each, text]) => ` --${each} ${text}`));
  say(`${name}${told.join("")}${wanted.map((flag) => ` --${flag}`).join("")}`);
  const wished = Object.fromEntries(flags.map((flag) => [flag, values[flag] === true]));
  return {
    ...numbers,
    ...(wished as Readonly<Record<Flag, boolean>>),
    ...(Object.fromEntries(chosen) as Readonly<Record<Choice, string | undefined>>),
    controlOnly,
    random: seededRandom(numbers.seed),
  };
}

function wholeNumber(option: string, text: unknown): number {
  if (typeof text !== "string" || !/^\d{1,10}$/.test(text))
    throw new Error(`--${option} must be a whole number, not ${text}`);
  return Number(text);
}

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
