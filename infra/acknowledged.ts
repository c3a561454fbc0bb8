import { Stack, Validations } from "aws-cdk-lib";
import type { IConstruct } from "constructs";
import type { Ability } from "../src/api/operation.ts";
import type { BrokerFunction } from "./broker-function.ts";
import type { Tasso } from "./tasso.ts";

export interface Acknowledged {
  readonly construct: IConstruct;
  readonly id: string;
  readonly reason: string;
}

export function found(construct: IConstruct, rule: string, reason: string): Acknowledged {
  return { construct, id: `AwsSolutions-${rule}`, reason };
}

/**
 * What cdk-nag (AwsSolutions) finds here that is meant so, each with why. It takes an id that it does not know without
 * a word; a test sees to it that each of these is found.
 */
export function acknowledgedFindings({
  storage,
  wakeUps,
  front,
  functions,
}: Tasso): Acknowledged[] {
  const objects = `<${logicalId(storage.bucket)}.Arn>/*`;
  return [
    found(
      storage.bucket,
      "S1",
      "Only the functions read and write the bucket, and each of their calls is a line in their logs. A second log would cost as much as many a bucket.",
    ),
    found(
      wakeUps.deadLetters,
      "SQS3",
      "It is the dead-letter queue itself, of the on-alarm function, which cdk-nag cannot see.",
    ),
    ...[...functions.values()].flatMap(({ policy, uses }) => [
      ...(usesOneOf(uses, "setAlarms")
        ? [
            found(
              policy,
              `IAM5[Resource::arn:<AWS::Partition>:scheduler:<AWS::Region>:<AWS::AccountId>:schedule/${wakeUps.group.scheduleGroupName}/*]`,
              "Alarms come and go while it runs; the group is the broker's own and holds nothing else.",
            ),
          ]
        : []),
      ...(usesOneOf(uses, "readBlobs", "writeBlobs")
        ? [
            found(
              policy,
              `IAM5[Resource::${objects}]`,
              "Blobs come and go while it runs; the bucket is the broker's own and holds nothing else.",
            ),
          ]
        : []),
    ]),
    ...front.acknowledged,
  ];
}

/** For whoever checks a stack of his own, with a `Tasso` in it, with cdk-nag. */
export function acknowledgeFindings(tasso: Tasso): void {
  for (const { construct, id, reason } of acknowledgedFindings(tasso)) {
    Validations.of(construct).acknowledge({ id, reason });
  }
}

function usesOneOf(uses: BrokerFunction["uses"], ...wanted: Ability[]): boolean {
  return wanted.some((ability) => uses.has(ability));
}

function logicalId(construct: IConstruct): string {
  const element = construct.node.defaultChild;
  return Stack.of(construct).getLogicalId(element as Parameters<Stack["getLogicalId"]>[0]);
}
