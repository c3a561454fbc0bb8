import { cellName, gateCells, ratioMin } from "./cells.ts";
import type { Measured } from "./measure.ts";
import { type Seek, seekRatioMax } from "./seek.ts";

const columns = [
  "cell",
  "messages/s",
  "baseline",
  "ratio",
  "(spread)",
  "p50 ms",
  "baseline",
  "p99 ms",
  "baseline",
  "CPU s/M",
  "baseline",
  "ratio",
  "baseline is",
];

export function table(measured: readonly Measured[]): string {
  const rows = measured.map(rowOf);
  const widths = columns.map((column, index) =>
    Math.max(column.length, ...rows.map((row) => row[index]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((text, index) =>
        index === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[index] ?? 0),
      )
      .join("  ");
  return [line(columns), ...rows.map(line)].join("\n");
}

export function rowOf(measured: Measured): string[] {
  const { cell, ours, baseline, ratio, ratioSpread, cpuRatio, baselineForm } = measured;
  return [
    cellName(cell),
    ours.messagesPerSecond.toFixed(0),
    baseline.messagesPerSecond.toFixed(0),
    ratio.toFixed(2),
    `(${ratioSpread.map((bound) => bound.toFixed(2)).join("-")})`,
    ours.p50Ms.toFixed(2),
    baseline.p50Ms.toFixed(2),
    ours.p99Ms.toFixed(2),
    baseline.p99Ms.toFixed(2),
    ours.cpuSecondsPerMillion.toFixed(1),
    baseline.cpuSecondsPerMillion.toFixed(1),
    cpuRatio.toFixed(2),
    baselineForm,
  ];
}

export interface Gate {
  readonly name: string;
  readonly passed: boolean;
  readonly told: string;
}

/** What must hold, of what was measured. */
export function gates(measured: readonly Measured[], seek: Seek | undefined): Gate[] {
  const cells = measured
    .filter(({ cell }) => gateCells.some((gate) => gate === cellName(cell)))
    .map((met) => ({
      name: cellName(met.cell),
      passed: met.ratio >= ratioMin,
      told: `${met.ratio.toFixed(2)} of the baseline's messages/s, at least ${ratioMin} wanted; ${met.cpuRatio.toFixed(2)} times its CPU`,
    }));
  if (seek === undefined) return cells;
  const { startMs, endMs, ratio, messages } = seek;
  return [
    ...cells,
    {
      name: "seek",
      passed: ratio <= seekRatioMax,
      told: `a pull from the start of ${messages} messages takes ${startMs.toFixed(2)} ms, from the end ${endMs.toFixed(2)} ms; at most ${seekRatioMax} times apart wanted`,
    },
  ];
}
