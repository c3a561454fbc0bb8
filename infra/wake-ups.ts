import { Duration, RemovalPolicy, Stack } from "aws-cdk-lib";
import { Policy, PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { CfnEventInvokeConfig } from "aws-cdk-lib/aws-lambda";
import { CfnSchedule, ScheduleGroup } from "aws-cdk-lib/aws-scheduler";
import { Queue, QueueEncryption } from "aws-cdk-lib/aws-sqs";
import { Construct } from "constructs";
import { periodicSweep } from "../functions/wake-up.ts";
import type { BrokerFunction } from "./broker-function.ts";

export interface WakeUpsProps {
  /** The function that alarms wake. By name, for it needs to know its own address. */
  readonly onAlarmArn: string;
}

/** Who is woken again after a failure, how often and for how long: later, the periodic sweep has done the work. */
const retries = { attempts: 2, ageMax: Duration.hours(1) };

/** What wakes the broker: a group for the alarms that it sets, whom they call as, and where they end that fail. */
export class WakeUps extends Construct {
  readonly group: ScheduleGroup;
  readonly role: Role;
  readonly policy: Policy;
  readonly deadLetters: Queue;
  /** All schedules of the group. */
  readonly schedulesArn: string;
  readonly onAlarmArn: string;

  constructor(scope: Construct, id: string, { onAlarmArn }: WakeUpsProps) {
    super(scope, id);
    this.onAlarmArn = onAlarmArn;
    this.group = new ScheduleGroup(this, "Group", { removalPolicy: RemovalPolicy.DESTROY });
    this.schedulesArn = Stack.of(this).formatArn({
      service: "scheduler",
      resource: "schedule",
      resourceName: `${this.group.scheduleGroupName}/*`,
    });
    this.deadLetters = new Queue(this, "DeadLetters", {
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
      removalPolicy: RemovalPolicy.DESTROY,
    });
    this.role = new Role(this, "Role", {
      description: "EventBridge Scheduler, when it rings the alarms of the broker",
      assumedBy: new ServicePrincipal("scheduler.amazonaws.com", {
        conditions: { StringEquals: { "aws:SourceAccount": Stack.of(this).account } },
      }),
    });
    this.policy = new Policy(this, "Policy", {
      roles: [this.role],
      statements: [
        allow("Ring", "lambda:InvokeFunction", onAlarmArn),
        allow("KeepWhatFailed", "sqs:SendMessage", this.deadLetters.queueArn),
      ],
    });
  }

  /**
   * Has a function rung by the clock, whether or not an alarm ever rings, and keeps what it failed at. The schedule lies
   * in the default group, where the functions may do nothing: no bug of theirs can switch it off.
   */
  ring(target: BrokerFunction, { sweepEvery }: { readonly sweepEvery: Duration }): void {
    const { functionArn, functionName } = target.function;
    target.policy.addStatements(
      allow("KeepWhatFailed", "sqs:SendMessage", this.deadLetters.queueArn),
    );
    new CfnEventInvokeConfig(this, "Retries", {
      functionName,
      qualifier: "$LATEST",
      maximumRetryAttempts: retries.attempts,
      maximumEventAgeInSeconds: retries.ageMax.toSeconds(),
      destinationConfig: { onFailure: { destination: this.deadLetters.queueArn } },
    });
    const minutes = sweepEvery.toMinutes();
    new CfnSchedule(this, "Sweep", {
      description: "Has the broker do what is due, so that nothing rests on its alarms alone",
      flexibleTimeWindow: { mode: "OFF" },
      scheduleExpression: `rate(${minutes} minute${minutes === 1 ? "" : "s"})`,
      target: {
        arn: functionArn,
        roleArn: this.role.roleArn,
        input: JSON.stringify(periodicSweep),
        // The next one comes soon enough.
        retryPolicy: { maximumRetryAttempts: 0 },
      },
    });
  }
}

function allow(sid: string, action: string, resource: string): PolicyStatement {
  return new PolicyStatement({ sid, actions: [action], resources: [resource] });
}
