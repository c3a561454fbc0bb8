import { type App, CfnOutput, RemovalPolicy, type StackProps } from "aws-cdk-lib";
import { User } from "aws-cdk-lib/aws-iam";
import { Bucket } from "aws-cdk-lib/aws-s3";
import type { TassoProps } from "../../infra/tasso.ts";
import { TassoStack } from "../../infra/tasso-stack.ts";
import type { Right } from "../../src/api/operation.ts";
import type { Outputs } from "./deployment.ts";
import { type Credentials, rootCredentials, signedFetch } from "./signed-fetch.ts";

export interface TestStackProps extends StackProps, TassoProps {
  /** What the stack's user may do. */
  readonly userMay?: readonly Right[];
}

/** A stack whose data goes with it, and a user who may call the operations of some rights. */
export class TestStack extends TassoStack {
  constructor(app: App, id: string, { userMay = [], ...props }: TestStackProps = {}) {
    super(app, id, { removalPolicy: RemovalPolicy.DESTROY, ...props });
    // An emulator that enforces policies and speaks no TLS would refuse every call of the bucket.
    for (const construct of this.node.findAll()) {
      if (!(construct instanceof Bucket)) continue;
      construct.node.tryRemoveChild("Policy");
      new CfnOutput(this, "BucketName", { value: construct.bucketName });
    }
    const user = new User(this, "User");
    if (userMay.length > 0) this.tasso.grantCall(user, ...userMay);
    new CfnOutput(this, "UserName", { value: user.userName });
    const { storage, wakeUps } = this.tasso;
    new CfnOutput(this, "Table", { value: storage.table.tableName });
    new CfnOutput(this, "ScheduleGroup", { value: wakeUps.group.scheduleGroupName });
    new CfnOutput(this, "SchedulerRoleArn", { value: wakeUps.role.roleArn });
    new CfnOutput(this, "OnAlarmArn", { value: wakeUps.onAlarmArn });
  }
}

export interface UserKey extends Credentials {
  remove(): Promise<void>;
}

/** A key of the user of a stack, to be removed before the stack. The emulator's templates know no keys. */
export async function newUserKey(
  endpoint: string,
  { UserName = "" }: Outputs[string] = {},
): Promise<UserKey> {
  const text = await callIam(endpoint, { Action: "CreateAccessKey", UserName });
  const [, accessKeyId = ""] = /<AccessKeyId>(.*?)</.exec(text) ?? [];
  const [, secretAccessKey = ""] = /<SecretAccessKey>(.*?)</.exec(text) ?? [];
  return {
    accessKeyId,
    secretAccessKey,
    async remove() {
      await callIam(endpoint, { Action: "DeleteAccessKey", UserName, AccessKeyId: accessKeyId });
    },
  };
}

async function callIam(endpoint: string, call: Record<string, string>): Promise<string> {
  const answer = await signedFetch(rootCredentials, { service: "iam" })(endpoint, {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams({ ...call, Version: "2010-05-08" }).toString(),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return text;
}
