import type { TableV2 } from "aws-cdk-lib/aws-dynamodb";
import { PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { Ability } from "../src/api/operation.ts";
import type { Storage } from "./storage.ts";
import type { WakeUps } from "./wake-ups.ts";

export interface Resources {
  readonly storage: Storage;
  readonly wakeUps: WakeUps;
}

/** What the adapters do besides, to keep the laws of the ports. */
const implied: Readonly<Record<Ability, readonly Ability[]>> = {
  readStore: [],
  // What refused a commit is read where the refusal did not bring it.
  writeStore: ["readStore"],
  readBlobs: [],
  // After a put without an answer they look what is there.
  writeBlobs: ["readBlobs"],
  // Which alarms are set stands in the store.
  setAlarms: ["writeStore", "readStore"],
  callWebhooks: [],
};

/**
 * What each ability of the ports means to IAM: the calls that the adapters make, each on the one resource that it
 * concerns. Written out, for the grants of the CDK allow more (`Scan`, services by wildcard, all versions of a function).
 */
export function statementsFor(
  abilities: ReadonlySet<Ability>,
  { storage, wakeUps }: Resources,
): PolicyStatement[] {
  const { table, bucket } = storage;
  const statements: Readonly<Record<Ability, () => PolicyStatement[]>> = {
    readStore: () => [readStore(table)],
    writeStore: () => [writeStore(table)],
    readBlobs: () => [
      allow("ReadBlobs", ["s3:GetObject"], bucket.arnForObjects("*")),
      // Without this S3 answers 403 for what is not there, instead of 404.
      allow("ListBlobs", ["s3:ListBucket"], bucket.bucketArn),
    ],
    writeBlobs: () => [
      allow("WriteBlobs", ["s3:PutObject", "s3:DeleteObject"], bucket.arnForObjects("*")),
    ],
    setAlarms: () => [
      allow(
        "SetAlarms",
        ["scheduler:CreateSchedule", "scheduler:UpdateSchedule"],
        wakeUps.schedulesArn,
      ),
      new PolicyStatement({
        sid: "LetTheSchedulerRing",
        actions: ["iam:PassRole"],
        resources: [wakeUps.role.roleArn],
        conditions: { StringEquals: { "iam:PassedToService": "scheduler.amazonaws.com" } },
      }),
      // Alarms that are due sooner than a schedule can be.
      allow("RingSoon", ["lambda:InvokeFunction"], wakeUps.onAlarmArn),
    ],
    // Addresses of nobody in AWS: no policy says who may call them.
    callWebhooks: () => [],
  };
  const needed = new Set([...abilities].flatMap((ability) => [ability, ...implied[ability]]));
  const order = Object.keys(statements) as Ability[];
  return order.filter((ability) => needed.has(ability)).flatMap((ability) => statements[ability]());
}

export function readStore({ tableArn }: TableV2): PolicyStatement {
  const actions = ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"];
  return allow("ReadStore", actions, tableArn);
}

export function writeStore({ tableArn }: TableV2): PolicyStatement {
  const actions = ["dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"];
  return allow("WriteStore", actions, tableArn);
}

function allow(sid: string, actions: string[], resource: string): PolicyStatement {
  return new PolicyStatement({ sid, actions, resources: [resource] });
}
