import { App, Duration, RemovalPolicy, Stack } from "aws-cdk-lib";
import { Match, Template } from "aws-cdk-lib/assertions";
import { User } from "aws-cdk-lib/aws-iam";
import { Topic } from "aws-cdk-lib/aws-sns";
import { describe, expect, it } from "vitest";
import { Tasso, type TassoProps } from "../../infra/tasso.ts";
import { operations } from "../../src/api/operations.ts";
import { limits } from "../../src/broker/limits.ts";
import { templateOf } from "../support/synthesized.ts";

const jwt = { kind: "jwt", issuer: "https://issuer.example", audience: ["brokers"] } as const;
const routeKeys = [
  ...new Set(operations.map(({ method, path }) => `${method} ${path}`)),
  "$default",
].sort();

function routesOf(props?: TassoProps): Record<string, string> {
  const routes = Object.values(templateOf(props).findResources("AWS::ApiGatewayV2::Route"));
  return Object.fromEntries(
    routes.map(({ Properties }) => [Properties.RouteKey, Properties.AuthorizationType]),
  );
}

describe("the front", () => {
  it("has a route for each operation, and each but health needs IAM", () => {
    const routes = routesOf();
    expect(Object.keys(routes).sort()).toEqual(routeKeys);
    for (const [route, authorization] of Object.entries(routes)) {
      expect(authorization, route).toBe(route === "GET /v1/health" ? "NONE" : "AWS_IAM");
    }
  });

  it("asks for tokens if told to", () => {
    for (const [route, authorization] of Object.entries(routesOf({ authorization: jwt }))) {
      expect(authorization, route).toBe(route === "GET /v1/health" ? "NONE" : "JWT");
    }
    templateOf({ authorization: jwt }).hasResourceProperties("AWS::ApiGatewayV2::Authorizer", {
      JwtConfiguration: { Issuer: jwt.issuer, Audience: jwt.audience },
    });
  });

  it("asks nobody only when that is asked for by name", () => {
    expect(new Set(Object.values(routesOf({ authorization: { kind: "none" } })))).toEqual(
      new Set(["NONE"]),
    );
  });

  it("leads each right to a function of its own", () => {
    const template = templateOf();
    const handlers = Object.values(template.findResources("AWS::Lambda::Function")).map(
      ({ Properties }) => Properties.Handler,
    );
    expect(handlers.sort()).toEqual(
      [
        "admin.handler",
        "commit.handler",
        "on-alarm.handler",
        "pull.handler",
        "send.handler",
        "transact.handler",
      ].sort(),
    );
    template.resourceCountIs("AWS::ApiGatewayV2::Integration", 5);
    template.allResourcesProperties("AWS::ApiGatewayV2::Integration", {
      PayloadFormatVersion: "2.0",
    });
  });

  it("makes no function for a right that no operation has", () => {
    const template = templateOf({
      operations: operations.filter(({ right }) => right !== "transact"),
    });
    expect(JSON.stringify(template.toJSON())).not.toContain("transact.handler");
  });

  it("is a Function URL if told to, with one function, which asks IAM", () => {
    const template = templateOf({ front: "function-url" });
    template.resourceCountIs("AWS::ApiGatewayV2::Api", 0);
    template.resourceCountIs("AWS::Lambda::Function", 2);
    template.hasResourceProperties("AWS::Lambda::Url", { AuthType: "AWS_IAM" });
    templateOf({ front: "function-url", authorization: { kind: "none" } }).hasResourceProperties(
      "AWS::Lambda::Url",
      { AuthType: "NONE" },
    );
    expect(() => templateOf({ front: "function-url", authorization: jwt })).toThrow(
      'authorization must be of the kind "iam" or "none", not "jwt"',
    );
  });

  it.each([
    ["http-api", ["execute-api:Invoke"]],
    // Both are needed since October 2025 (AWS: "Control access to Lambda function URLs").
    ["function-url", ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]],
  ] as const)("lets users call (%s)", (front, actions) => {
    const stack = new Stack(new App(), "Tasso");
    const tasso = new Tasso(stack, "Tasso", { front, codeFolder: import.meta.dirname });
    const user = new User(stack, "User");
    tasso.grantCall(user, "send");
    const policies = Object.entries(Template.fromStack(stack).findResources("AWS::IAM::Policy"));
    const statements = policies
      .filter(([id]) => id.startsWith("User"))
      .flatMap(([, { Properties }]) => Properties.PolicyDocument.Statement);
    expect([...new Set(statements.flatMap(({ Action }) => Action))]).toEqual(actions);
  });
});

describe("what is kept", () => {
  it("lies in a table that is paid by use, expires items, and can be set back", () => {
    templateOf().hasResource("AWS::DynamoDB::GlobalTable", {
      DeletionPolicy: "Retain",
      Properties: {
        BillingMode: "PAY_PER_REQUEST",
        KeySchema: [
          { AttributeName: "p", KeyType: "HASH" },
          { AttributeName: "s", KeyType: "RANGE" },
        ],
        AttributeDefinitions: [
          { AttributeName: "p", AttributeType: "B" },
          { AttributeName: "s", AttributeType: "B" },
        ],
        TimeToLiveSpecification: { AttributeName: "e", Enabled: true },
        Replicas: [
          Match.objectLike({
            DeletionProtectionEnabled: true,
            PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
          }),
        ],
      },
    });
  });

  it("lies in a private bucket that takes TLS only and removes nothing but leftovers", () => {
    const template = templateOf();
    template.hasResource("AWS::S3::Bucket", {
      DeletionPolicy: "Retain",
      Properties: {
        PublicAccessBlockConfiguration: {
          BlockPublicAcls: true,
          BlockPublicPolicy: true,
          IgnorePublicAcls: true,
          RestrictPublicBuckets: true,
        },
        LifecycleConfiguration: {
          Rules: [
            { AbortIncompleteMultipartUpload: { DaysAfterInitiation: 1 }, Status: "Enabled" },
          ],
        },
      },
    });
    template.hasResourceProperties("AWS::S3::BucketPolicy", {
      PolicyDocument: {
        Statement: [
          Match.objectLike({
            Effect: "Deny",
            Action: "s3:*",
            Condition: { Bool: { "aws:SecureTransport": "false" } },
          }),
        ],
      },
    });
  });

  it("goes with the stack if told to", () => {
    const template = templateOf({ removalPolicy: RemovalPolicy.DESTROY });
    for (const type of ["AWS::DynamoDB::GlobalTable", "AWS::S3::Bucket"]) {
      template.hasResource(type, { DeletionPolicy: "Delete" });
    }
  });
});

describe("the functions", () => {
  it("run Node 24 on arm64, log into groups of their own, and answer before the HTTP API gives up", () => {
    const template = templateOf();
    template.allResourcesProperties("AWS::Lambda::Function", {
      Runtime: "nodejs24.x",
      Architectures: ["arm64"],
      LoggingConfig: { LogGroup: Match.anyValue() },
      Environment: { Variables: { TASSO_TABLE: Match.anyValue() } },
    });
    template.allResourcesProperties("AWS::Logs::LogGroup", { RetentionInDays: 30 });
    const functions = Object.values(template.findResources("AWS::Lambda::Function"));
    for (const { Properties } of functions) {
      const { Handler, Timeout } = Properties;
      if (Handler === "on-alarm.handler") expect(Timeout).toBeGreaterThan(185);
      else {
        expect(Timeout * 1_000).toBeGreaterThan(limits.waitMsMax);
        expect(Timeout).toBeLessThan(30);
      }
    }
  });

  it("have the memory that they are given", () => {
    const memoryOf = (props: TassoProps, entry: string) =>
      Object.values(templateOf(props).findResources("AWS::Lambda::Function")).find(
        ({ Properties }) => Properties.Handler === `${entry}.handler`,
      )?.["Properties"].MemorySize;
    expect(memoryOf({}, "on-alarm")).toBe(128);
    expect(memoryOf({}, "send")).toBe(512);
    expect(memoryOf({ memoryMb: { send: 1_024 } }, "send")).toBe(1_024);
  });
});

describe("what wakes the broker", () => {
  it("is a clock, outside the group where functions may set schedules, and alarms", () => {
    const template = templateOf();
    template.hasResourceProperties("AWS::Scheduler::Schedule", {
      ScheduleExpression: "rate(1 minute)",
      GroupName: Match.absent(),
      Target: { Input: '{"sweep":true}', Arn: Match.anyValue(), RoleArn: Match.anyValue() },
    });
    template.resourceCountIs("AWS::Scheduler::ScheduleGroup", 1);
    templateOf({ sweepEvery: Duration.minutes(5) }).hasResourceProperties(
      "AWS::Scheduler::Schedule",
      { ScheduleExpression: "rate(5 minutes)" },
    );
  });

  it("takes whole minutes up to an hour", () => {
    for (const wrong of [Duration.seconds(30), Duration.seconds(90), Duration.minutes(61)]) {
      expect(() => templateOf({ sweepEvery: wrong })).toThrow("sweepEvery must be 1 to 60");
    }
  });

  it("keeps wake-ups that failed for two weeks", () => {
    const template = templateOf();
    template.hasResourceProperties("AWS::Lambda::EventInvokeConfig", {
      MaximumRetryAttempts: 2,
      DestinationConfig: { OnFailure: { Destination: Match.anyValue() } },
    });
    template.hasResourceProperties("AWS::SQS::Queue", { MessageRetentionPeriod: 14 * 24 * 3_600 });
  });

  it("lets nobody but the Scheduler of this account use its role", () => {
    templateOf().hasResourceProperties("AWS::IAM::Role", {
      AssumeRolePolicyDocument: {
        Statement: [
          {
            Action: "sts:AssumeRole",
            Effect: "Allow",
            Principal: { Service: "scheduler.amazonaws.com" },
            Condition: { StringEquals: { "aws:SourceAccount": { Ref: "AWS::AccountId" } } },
          },
        ],
        Version: "2012-10-17",
      },
    });
  });
});

describe("alarms", () => {
  it("ring for errors and throttles of each function, late timers, work left and dead letters", () => {
    const template = templateOf();
    const alarms = Object.values(template.findResources("AWS::CloudWatch::Alarm"));
    const named = (name: string) =>
      alarms.filter(({ Properties }) => Properties.MetricName === name).length;
    expect({
      errors: named("Errors"),
      throttles: named("Throttles"),
      failures: named("failures"),
      lateness: named("latenessMs"),
      work: named("workLeft"),
      dead: named("ApproximateNumberOfMessagesVisible"),
    }).toEqual({ errors: 6, throttles: 6, failures: 5, lateness: 1, work: 1, dead: 1 });
    template.hasResourceProperties("AWS::CloudWatch::Alarm", {
      MetricName: "latenessMs",
      Statistic: "Maximum",
      Threshold: 5_000,
      TreatMissingData: "notBreaching",
    });
    // A sweep that does not run says nothing, and that is what has to be heard.
    template.hasResourceProperties("AWS::CloudWatch::Alarm", {
      MetricName: "workLeft",
      TreatMissingData: "breaching",
      EvaluationPeriods: 10,
    });
  });

  it("tell a topic if there is one", () => {
    const stack = new Stack(new App(), "Tasso");
    const alarmTopic = new Topic(stack, "Topic");
    const tasso = new Tasso(stack, "Tasso", { alarmTopic, codeFolder: import.meta.dirname });
    for (const alarm of tasso.alarms.all) {
      expect(stack.resolve(alarm.alarmArn)).toBeDefined();
      expect((alarm as unknown as { alarmActionArns?: string[] }).alarmActionArns).toHaveLength(1);
    }
  });

  it("have a dashboard only if it is asked for", () => {
    templateOf().resourceCountIs("AWS::CloudWatch::Dashboard", 0);
    templateOf({ dashboard: true }).resourceCountIs("AWS::CloudWatch::Dashboard", 1);
  });
});

describe("the template", () => {
  it("is the golden one", async () => {
    const template = JSON.stringify(templateOf().toJSON(), null, 2);
    const withoutAssets = template.replace(/[0-9a-f]{64}/g, "ASSET");
    await expect(`${withoutAssets}\n`).toMatchFileSnapshot("./template.golden.json");
  });
});
