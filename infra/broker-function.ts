import { type Duration, RemovalPolicy } from "aws-cdk-lib";
import { Policy, PolicyStatement, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import {
  Architecture,
  type Code,
  Function as LambdaFunction,
  Runtime,
} from "aws-cdk-lib/aws-lambda";
import { LogGroup, type RetentionDays } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import type { Ability } from "../src/api/operation.ts";

export interface BrokerFunctionProps {
  /** Its entry in `functions/`. */
  readonly entry: string;
  readonly description: string;
  readonly code: Code;
  readonly environment: Record<string, string>;
  readonly memoryMb: number;
  readonly timeout: Duration;
  readonly logRetention: RetentionDays;
  /** What its work needs of the ports, and what that means to IAM. */
  readonly uses: ReadonlySet<Ability>;
  readonly statements: readonly PolicyStatement[];
  /** @default drawn by CloudFormation */
  readonly functionName?: string;
}

/** One function of the broker, with a role and a log of its own and exactly the permissions that it is given. */
export class BrokerFunction extends Construct {
  readonly function: LambdaFunction;
  readonly policy: Policy;
  readonly uses: ReadonlySet<Ability>;
  readonly logGroup: LogGroup;

  constructor(scope: Construct, id: string, props: BrokerFunctionProps) {
    super(scope, id);
    this.uses = props.uses;
    const { entry, description, code, environment, memoryMb, timeout, functionName } = props;
    this.logGroup = new LogGroup(this, "Log", {
      retention: props.logRetention,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new Role(this, "Role", {
      assumedBy: new ServicePrincipal("lambda.amazonaws.com"),
    });
    const writeLog = new PolicyStatement({
      sid: "WriteLog",
      actions: ["logs:CreateLogStream", "logs:PutLogEvents"],
      resources: [this.logGroup.logGroupArn],
    });
    this.policy = new Policy(this, "Policy", {
      roles: [role],
      statements: [writeLog, ...props.statements],
    });
    this.function = new LambdaFunction(this, "Function", {
      description,
      code,
      handler: `${entry}.handler`,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      memorySize: memoryMb,
      timeout,
      environment,
      role,
      logGroup: this.logGroup,
      ...(functionName === undefined ? {} : { functionName }),
    });
    // Before it may do its work it would fail.
    this.function.node.addDependency(this.policy);
  }
}
