import { say } from "./command-line.ts";

type Row = Readonly<Record<string, string | number>>;

const violationsShown = 12;

/** Prints rows of equal shape under their names. */
export function printTable(rows: readonly Row[]): void {
  const columns = Object.keys(rows[0] ?? {});
  const lines = [columns, ...rows.map((row) => columns.map((column) => String(row[column] ?? "")))];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  for (const line of lines) {
    say(`  ${line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ")}`.trimEnd());
  }
}

export function printViolations(violations: readonly string[]): void {
  for (const violation of violations.slice(0, violationsShown)) say(`  ! ${violation}`);
  const more = violations.length - violationsShown;
  if (more > 0) say(`  ! and ${more} more`);
}

/** A demand on the script as a whole, printed with how it went. */
export function judge(demand: string, met: boolean): boolean {
  say(`${met ? "ok      " : "VIOLATED"} ${demand}`);
  return met;
}
