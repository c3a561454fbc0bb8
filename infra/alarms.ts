import { Duration } from "aws-cdk-lib";
import {
  Alarm,
  ComparisonOperator,
  type IMetric,
  Metric,
  Stats,
  TreatMissingData,
} from "aws-cdk-lib/aws-cloudwatch";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import type { ITopic } from "aws-cdk-lib/aws-sns";
import type { IQueue } from "aws-cdk-lib/aws-sqs";
import { Construct } from "constructs";
import { type MetricName, metricNamespace } from "../functions/log.ts";
import type { BrokerFunction } from "./broker-function.ts";

export interface AlarmsProps {
  readonly service: string;
  readonly functions: ReadonlyMap<string, BrokerFunction>;
  readonly deadLetters: IQueue;
  readonly sweepEvery: Duration;
  readonly latenessMax: Duration;
  readonly notify: ITopic | undefined;
}

/** So many sweeps one after the other may leave work behind, or be missing, before somebody is told. */
const sweepsBehindMax = 10;

/** What somebody has to look at. */
export class Alarms extends Construct {
  readonly all: Alarm[] = [];
  readonly #notify: ITopic | undefined;

  constructor(scope: Construct, id: string, props: AlarmsProps) {
    super(scope, id);
    this.#notify = props.notify;
    const { service } = props;
    const period = Duration.minutes(5);
    for (const [name, { function: target }] of props.functions) {
      this.#add(`${name}-errors`, target.metricErrors({ period }), {
        description: `The function ${name} died or ran out of time; callers were not answered.`,
      });
      this.#add(`${name}-throttles`, target.metricThrottles({ period }), {
        description: `Calls of the function ${name} were turned away: the account's concurrency is used up.`,
      });
      if (name === "on-alarm") continue;
      this.#add(`${name}-failures`, brokerMetric("failures", { service, name, period }), {
        description: `The function ${name} answered with 5xx; its log says why.`,
      });
    }
    const onAlarm = { service, name: "on-alarm" };
    this.#add(
      "timer-lateness",
      brokerMetric("latenessMs", { ...onAlarm, period, statistic: Stats.MAXIMUM }),
      {
        threshold: props.latenessMax.toMilliseconds(),
        description:
          "An alarm of the broker rang, or a delayed message was delivered, later than it should.",
      },
    );
    this.#add(
      "background-work-lag",
      brokerMetric("workLeft", {
        ...onAlarm,
        period: props.sweepEvery,
        statistic: Stats.MINIMUM,
      }),
      {
        evaluationPeriods: sweepsBehindMax,
        missing: TreatMissingData.BREACHING,
        description:
          "Sealed segments wait to be archived and deleted topics to be removed, and the sweeps do not keep up or do not run.",
      },
    );
    this.#add(
      "dead-letters",
      props.deadLetters.metricApproximateNumberOfMessagesVisible({ period }),
      {
        description:
          "Wake-ups failed for good. The periodic sweep does their work; look why they failed.",
      },
    );
  }

  /** Rings at `threshold` and above; without one, at the first. */
  #add(
    id: string,
    metric: IMetric,
    options: {
      readonly description: string;
      readonly threshold?: number;
      readonly evaluationPeriods?: number;
      readonly missing?: TreatMissingData;
    },
  ): void {
    const { description, threshold = 1, evaluationPeriods = 1 } = options;
    const alarm = new Alarm(this, id, {
      metric,
      threshold,
      evaluationPeriods,
      alarmDescription: description,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      treatMissingData: options.missing ?? TreatMissingData.NOT_BREACHING,
    });
    if (this.#notify !== undefined) alarm.addAlarmAction(new SnsAction(this.#notify));
    this.all.push(alarm);
  }
}

/** A metric that the functions write into their log. */
export function brokerMetric(
  metricName: MetricName,
  {
    service,
    name,
    period,
    statistic = Stats.SUM,
  }: {
    readonly service: string;
    /** The function's. */
    readonly name: string;
    readonly period: Duration;
    readonly statistic?: string;
  },
): Metric {
  return new Metric({
    namespace: metricNamespace,
    metricName,
    dimensionsMap: { service, function: name },
    period,
    statistic,
  });
}
