import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duration, Stack, Validations } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { AwsSolutionsChecks } from "cdk-nag";
import { describe, expect, it } from "vitest";
import { NameServer, NameServerStack } from "../../infra/name-server.ts";
import type { TassoProps } from "../../infra/tasso.ts";
import { TassoStack } from "../../infra/tasso-stack.ts";
import { nameServerOperations } from "../../src/nameserver/operations.ts";
import { newApp } from "../support/deployment.ts";

const codeFolder = import.meta.dirname;

interface Statement {
  readonly Sid?: string;
  readonly Action: string | string[];
  readonly Resource: unknown;
}

function statementsOf(template: Template): Statement[] {
  const policies = Object.values(template.findResources("AWS::IAM::Policy"));
  return policies.flatMap(({ Properties }) => Properties.PolicyDocument.Statement);
}

/** A broker in a stack of its own that registers with a name server in another. */
function pair(sweepEvery?: Duration) {
  const app = newApp();
  const { nameServer } = new NameServerStack(app, "Names", { codeFolder });
  const stack = new TassoStack(app, "Tasso", {
    codeFolder,
    brokerName: "east",
    nameServers: [nameServer.front.url],
    ...(sweepEvery === undefined ? {} : { sweepEvery }),
  });
  const onAlarm = stack.tasso.functions.get("on-alarm")?.function;
  if (onAlarm === undefined) throw new Error("there is no function on-alarm");
  nameServer.grantRegister(onAlarm, stack.tasso.brokerName);
  return Template.fromStack(stack);
}

function environmentsOf(template: Template): Record<string, Record<string, unknown>> {
  const functions = Object.values(template.findResources("AWS::Lambda::Function"));
  return Object.fromEntries(
    functions.map(({ Properties }) => [
      Properties.Handler.split(".")[0],
      Properties.Environment.Variables,
    ]),
  );
}

describe("the stack of a name server", () => {
  const template = Template.fromStack(new NameServerStack(newApp(), "Names", { codeFolder }));

  it("has a route for each operation, and each but health needs IAM", () => {
    const routes = Object.values(template.findResources("AWS::ApiGatewayV2::Route"));
    const keys = routes.map(({ Properties }) => Properties.RouteKey).sort();
    const wanted = nameServerOperations.map(({ method, path }) => `${method} ${path}`);
    expect(keys).toEqual([...wanted, "$default"].sort());
    for (const { Properties } of routes) {
      const open = Properties.RouteKey === "GET /v1/health";
      expect(Properties.AuthorizationType, Properties.RouteKey).toBe(open ? "NONE" : "AWS_IAM");
    }
  });

  it("is one function, which may read and write one table and its log", () => {
    template.resourceCountIs("AWS::Lambda::Function", 1);
    template.hasResource("AWS::DynamoDB::GlobalTable", { DeletionPolicy: "Retain" });
    const statements = statementsOf(template);
    expect(statements.map(({ Sid }) => Sid)).toEqual(["WriteLog", "ReadStore", "WriteStore"]);
    expect(JSON.stringify(statements)).not.toContain("*");
  });

  it("leaves nothing to cdk-nag", () => {
    const folder = mkdtempSync(join(tmpdir(), "tasso-nag-"));
    const app = newApp(folder);
    new NameServerStack(app, "Names", { codeFolder });
    Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
    app.synth();
    const bare = newApp(mkdtempSync(join(folder, "bare-")));
    const { acknowledged } = new NameServer(new Stack(bare, "Names"), "NameServer", { codeFolder });
    Validations.of(bare).addPlugins(new AwsSolutionsChecks(bare));
    const { stderr } = process;
    const write = stderr.write;
    stderr.write = () => true;
    try {
      expect(() => bare.synth()).toThrow();
    } finally {
      stderr.write = write;
    }
    const report = readFileSync(join(bare.outdir, "validation-report.json"), "utf8");
    for (const { id } of acknowledged) expect(report).toContain(id);
    rmSync(folder, { recursive: true });
  });

  it("is the golden one", async () => {
    const text = JSON.stringify(template.toJSON(), null, 2).replace(/[0-9a-f]{64}/g, "ASSET");
    await expect(`${text}\n`).toMatchFileSnapshot("./name-server.golden.json");
  });
});

describe("a deployed broker that is given a name server", () => {
  it("is told it by the function that the clock wakes, which may register under its own name alone", () => {
    const template = pair();
    const { "on-alarm": onAlarm, pull, send } = environmentsOf(template);
    expect(onAlarm).toMatchObject({ TASSO_BROKER_NAME: "east", TASSO_LEASE_MS: "300000" });
    expect(onAlarm).toHaveProperty("TASSO_NAME_SERVERS");
    expect(pull).toHaveProperty("TASSO_ENDPOINT");
    expect(pull).not.toHaveProperty("TASSO_NAME_SERVERS");
    expect(send).not.toHaveProperty("TASSO_ENDPOINT");
    const grants = statementsOf(template).filter(({ Sid }) => Sid === "Register");
    expect(grants).toHaveLength(1);
    expect(grants[0]?.Action).toBe("execute-api:Invoke");
    const resource = JSON.stringify(grants[0]?.Resource);
    expect(resource).toContain("/$default/PUT/v1/brokers/east");
    expect(resource).not.toContain("*");
  });

  it("has a lease of three of its schedules where these come seldom", () => {
    const { "on-alarm": onAlarm } = environmentsOf(pair(Duration.minutes(60)));
    expect(onAlarm).toMatchObject({ TASSO_LEASE_MS: String(3 * 60 * 60_000) });
  });

  it("tells of itself where clients reach it, or nothing", () => {
    const environmentOf = (props: TassoProps, entry: string) =>
      environmentsOf(
        Template.fromStack(new TassoStack(newApp(), "Tasso", { codeFolder, ...props })),
      )[entry];
    const endpoint = "https://broker.example";
    expect(environmentOf({}, "pull")).not.toHaveProperty("TASSO_ENDPOINT");
    expect(environmentOf({ endpoint }, "pull")).toMatchObject({ TASSO_ENDPOINT: endpoint });
    const front = "function-url";
    expect(environmentOf({ endpoint, front }, "all")).toMatchObject({ TASSO_ENDPOINT: endpoint });
    // The address of its own Function URL cannot be told to a function.
    const nameServers = ["https://names.example"];
    expect(environmentOf({ front, nameServers }, "all")).not.toHaveProperty("TASSO_ENDPOINT");
    expect(environmentOf({ front, nameServers }, "on-alarm")).toHaveProperty("TASSO_ENDPOINT");
  });
});
