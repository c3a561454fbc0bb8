import {
  CfnOutput,
  Duration,
  type aws_iam as iam,
  Names,
  RemovalPolicy,
  Stack,
  type StackProps,
  Validations,
} from "aws-cdk-lib";
import type { TableV2 } from "aws-cdk-lib/aws-dynamodb";
import { PolicyStatement } from "aws-cdk-lib/aws-iam";
import { Code } from "aws-cdk-lib/aws-lambda";
import { RetentionDays } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import { nameServerOperations } from "../src/nameserver/operations.ts";
import type { Acknowledged } from "./acknowledged.ts";
import { BrokerFunction } from "./broker-function.ts";
import type { Authorization } from "./front.ts";
import { functionCode } from "./function-code.ts";
import { HttpFront } from "./http-front.ts";
import { readStore, writeStore } from "./permissions.ts";
import { storeTable } from "./storage.ts";

export interface NameServerProps {
  /** How callers prove who they are. @default AWS signatures */
  readonly authorization?: Authorization;
  /** What becomes of the table when the stack is deleted. @default RemovalPolicy.RETAIN */
  readonly removalPolicy?: RemovalPolicy;
  /** @default RetentionDays.ONE_MONTH */
  readonly logRetention?: RetentionDays;
  /** The folder with the bundled functions. @default they are bundled now */
  readonly codeFolder?: string;
}

/** A name server: a function over a table, behind an HTTP API. It is given no right but to read and write its table. */
export class NameServer extends Construct {
  readonly table: TableV2;
  readonly function: BrokerFunction;
  readonly front: HttpFront;
  /** What cdk-nag finds in it that is meant so. */
  readonly acknowledged: readonly Acknowledged[];

  constructor(scope: Construct, id: string, props: NameServerProps = {}) {
    super(scope, id);
    const { authorization = { kind: "iam" }, removalPolicy = RemovalPolicy.RETAIN } = props;
    this.table = storeTable(this, { removalPolicy });
    const service = Names.uniqueResourceName(this, { maxLength: 50, separator: "-" });
    this.function = new BrokerFunction(this, "Function", {
      entry: "name-server",
      description: "Tasso: a name server",
      code: Code.fromAsset(props.codeFolder ?? functionCode()),
      environment: { TASSO_TABLE: this.table.tableName, TASSO_SERVICE: service },
      memoryMb: 256,
      timeout: Duration.seconds(29),
      logRetention: props.logRetention ?? RetentionDays.ONE_MONTH,
      uses: new Set(["readStore", "writeStore"]),
      statements: [readStore(this.table), writeStore(this.table)],
    });
    this.front = new HttpFront(this, "Front", {
      operations: nameServerOperations,
      authorization,
      functionOf: () => this.function.function,
    });
    this.acknowledged = this.front.acknowledged;
  }

  /** Lets a broker register, under its own name alone. */
  grantRegister(grantee: iam.IGrantable, brokerName: string): void {
    const { api } = this.front;
    const statement = new PolicyStatement({
      sid: "Register",
      actions: ["execute-api:Invoke"],
      resources: [api.arnForExecuteApi("PUT", `/v1/brokers/${brokerName}`, "$default")],
    });
    grantee.grantPrincipal.addToPrincipalPolicy(statement);
  }

  /** Lets a client ask for routes. */
  grantAsk(grantee: iam.IGrantable): void {
    this.front.grantCall(grantee, ["route"]);
  }
}

/** A stack with a name server and nothing else. */
export class NameServerStack extends Stack {
  readonly nameServer: NameServer;

  constructor(scope: Construct, id: string, props: StackProps & NameServerProps = {}) {
    super(scope, id, { description: "Tasso, a name server", ...props });
    this.nameServer = new NameServer(this, "NameServer", props);
    for (const { construct, id: rule, reason } of this.nameServer.acknowledged)
      Validations.of(construct).acknowledge({ id: rule, reason });
    new CfnOutput(this, "Url", { value: this.nameServer.front.url });
  }
}
