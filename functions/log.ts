/** A line of a function's log: one JSON object. Written past `console`, which would put words of its own in front. */
function writeLine(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** One line an error, with what caused it down to the first cause. */
export function logError(error: unknown, facts: Readonly<Record<string, unknown>> = {}): void {
  const { name, message, stack } = error as Error;
  const causes = [...causesOf(error)].map(String);
  writeLine({ level: "ERROR", ...facts, name, message, causes, stack });
}

function* causesOf(error: unknown): Generator<unknown> {
  for (let cause = (error as Error).cause; cause !== undefined; cause = (cause as Error).cause) {
    yield cause;
  }
}

const units = {
  messages: "Count",
  bytes: "Bytes",
  conflicts: "Count",
  writeUnits: "Count",
  readUnits: "Count",
  failures: "Count",
  /** By how much an alarm was rung late, or the latest of the delayed messages that it delivered. */
  latenessMs: "Milliseconds",
  /** 1 where a sweep ended with work that is due, else 0. */
  workLeft: "Count",
} as const;

/** What is measured of a call. `infra/` makes its alarms and its dashboard of these. */
export type MetricName = keyof typeof units;

export const metricNamespace = "Tasso";
/** Each combination of values is a metric that is paid for, so there are only these two. */
export const metricDimensions = ["service", "function"] as const;

/** One line a call, from which CloudWatch makes metrics (embedded metric format). */
export function logMetrics(
  dimensions: Readonly<Record<(typeof metricDimensions)[number], string>>,
  metrics: Readonly<Partial<Record<MetricName, number>>>,
  facts: Readonly<Record<string, unknown>>,
): void {
  const names = Object.keys(metrics) as MetricName[];
  const directive = {
    Namespace: metricNamespace,
    Dimensions: [metricDimensions],
    Metrics: names.map((name) => ({ Name: name, Unit: units[name] })),
  };
  const _aws = { Timestamp: Date.now(), CloudWatchMetrics: [directive] };
  writeLine({ _aws, ...dimensions, ...metrics, ...facts });
}
