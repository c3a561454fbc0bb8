import { Duration } from "aws-cdk-lib";
import { Dashboard, GraphWidget, type IMetric, Stats } from "aws-cdk-lib/aws-cloudwatch";
import type { Construct } from "constructs";
import type { MetricName } from "../functions/log.ts";
import { brokerMetric } from "./alarms.ts";
import type { BrokerFunction } from "./broker-function.ts";

export interface DashboardProps {
  readonly service: string;
  readonly functions: ReadonlyMap<string, BrokerFunction>;
}

/** One page that shows how the broker does: what it moves, what that costs, and what goes wrong. */
export function addDashboard(scope: Construct, { service, functions }: DashboardProps): Dashboard {
  const period = Duration.minutes(1);
  const callers = [...functions.keys()].filter((name) => name !== "on-alarm");
  const metrics = (metric: MetricName, names: readonly string[] = callers, statistic = Stats.SUM) =>
    names.map((name) =>
      brokerMetric(metric, { service, name, period, statistic }).with({ label: name }),
    );
  const ofLambda = (pick: (each: BrokerFunction) => IMetric) => [...functions.values()].map(pick);
  const graph = (title: string, left: IMetric[]) => new GraphWidget({ title, left, width: 8 });
  return new Dashboard(scope, "Dashboard", {
    widgets: [
      [
        graph("messages", metrics("messages")),
        graph("bytes", metrics("bytes")),
        graph("refused commits", metrics("conflicts")),
      ],
      [
        graph("write units", metrics("writeUnits", [...functions.keys()])),
        graph("read units", metrics("readUnits", [...functions.keys()])),
        graph("answers with 5xx", metrics("failures")),
      ],
      [
        graph(
          "duration, 99th percentile (ms)",
          ofLambda((each) =>
            each.function.metricDuration({ period, statistic: Stats.percentile(99) }),
          ),
        ),
        graph("errors and throttles", [
          ...ofLambda((each) => each.function.metricErrors({ period })),
          ...ofLambda((each) => each.function.metricThrottles({ period })),
        ]),
        graph(
          "lateness of alarms and delayed messages (ms)",
          metrics("latenessMs", ["on-alarm"], Stats.MAXIMUM),
        ),
      ],
    ],
  });
}
