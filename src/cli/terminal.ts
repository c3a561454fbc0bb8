import type { Writable } from "node:stream";
import { Presets, SingleBar } from "cli-progress";
import Table from "cli-table3";

/** Where the command line writes, and how: tables and progress bars for people, lines of JSON for programs. */
export class Terminal {
  readonly #out: Writable;
  readonly #json: boolean;
  readonly #progress: boolean;

  constructor({ json, progress }: { readonly json: boolean; readonly progress: boolean }) {
    this.#out = process.stdout;
    this.#json = json || process.stdout.isTTY !== true;
    this.#progress = progress || process.stderr.isTTY === true;
  }

  /** Rows that belong together: a table, or an object a line. What JSON holds besides is not in the table. */
  async rows(rows: readonly object[], columns: readonly string[]): Promise<void> {
    if (this.#json) {
      for (const row of rows) await this.line(JSON.stringify(row));
      return;
    }
    const table = new Table({ head: [...columns], style: { head: [], border: [] } });
    for (const row of rows) {
      const fields = row as Readonly<Record<string, unknown>>;
      table.push(columns.map((column) => shown(fields[column])));
    }
    await this.line(rows.length === 0 ? "nothing" : table.toString());
  }

  /** One thing: its fields below each other, or one object. */
  async thing(thing: object): Promise<void> {
    if (this.#json) return await this.line(JSON.stringify(thing));
    const table = new Table({ style: { head: [], border: [] } });
    for (const [field, value] of Object.entries(thing)) table.push({ [field]: shown(value) });
    await this.line(table.toString());
  }

  get json(): boolean {
    return this.#json;
  }

  /** A line on standard output, no faster than it is read. */
  async line(text: string): Promise<void> {
    await this.text(`${text}\n`);
  }

  async text(text: string): Promise<void> {
    if (this.#out.write(text)) return;
    await new Promise<void>((resolve) => this.#out.once("drain", () => resolve()));
  }

  /** A word to the person, on standard error. */
  note(text: string): void {
    process.stderr.write(`${text}\n`);
  }

  /** A progress bar on standard error: on a terminal, or where it was asked for. */
  progress(what: string, total: number): Progress {
    if (!this.#progress) return { add: () => undefined, end: () => undefined };
    const bar = new SingleBar(
      {
        format: `${what} {bar} {percentage} % | {value}/{total} | {eta_formatted} left`,
        stream: process.stderr,
        noTTYOutput: true,
        notTTYSchedule: 1_000,
        hideCursor: true,
      },
      Presets.shades_classic,
    );
    bar.start(total, 0);
    return {
      add: (count) => bar.increment(count),
      end: () => {
        bar.stop();
        process.stderr.write("\n");
      },
    };
  }
}

export interface Progress {
  add(count: number): void;
  end(): void;
}

/** What stands in a cell. Times are told as such by their names. */
function shown(value: unknown): string {
  if (value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Instants by the names of their fields, as people read them. */
export function withTimes<T extends object>(row: T): T {
  const entries = Object.entries(row).map(([field, value]) => [
    field,
    field.endsWith("At") && typeof value === "number" ? new Date(value).toISOString() : value,
  ]);
  return Object.fromEntries(entries) as T;
}
