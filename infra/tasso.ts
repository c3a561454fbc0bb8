import { ArnFormat, Duration, type aws_iam as iam, Names, RemovalPolicy, Stack } from "aws-cdk-lib";
import { Code, type Function as LambdaFunction } from "aws-cdk-lib/aws-lambda";
import { RetentionDays } from "aws-cdk-lib/aws-logs";
import type { ITopic } from "aws-cdk-lib/aws-sns";
import { Construct } from "constructs";
import { type ApiFunction, functionFor, serves, sweepUses } from "../functions/rights.ts";
import { environmentOf, identityEnvironment } from "../functions/settings.ts";
import type { Ability, Operation, Right } from "../src/api/operation.ts";
import { operations as everyOperation } from "../src/api/operations.ts";
import { Alarms } from "./alarms.ts";
import { BrokerFunction } from "./broker-function.ts";
import { addDashboard } from "./dashboard.ts";
import type { Authorization, Front } from "./front.ts";
import { functionCode } from "./function-code.ts";
import { HttpFront } from "./http-front.ts";
import { statementsFor } from "./permissions.ts";
import { Storage } from "./storage.ts";
import { UrlFront } from "./url-front.ts";
import { WakeUps } from "./wake-ups.ts";

export interface TassoProps {
  /**
   * How callers prove who they are.
   *
   * @default AWS signatures; policies of the callers say who may call which route ({@link Tasso.grantCall})
   */
  readonly authorization?: Authorization;
  /**
   * What callers reach. `http-api` costs 1 $ a million calls and knows routes, so that each right has a function of its
   * own and rights can be granted one by one. `function-url` costs nothing; one function with all permissions serves everything.
   *
   * @default "http-api"
   */
  readonly front?: "http-api" | "function-url";
  /**
   * What becomes of table and bucket when the stack is deleted. Kept ones are protected against deletion.
   *
   * @default RemovalPolicy.RETAIN
   */
  readonly removalPolicy?: RemovalPolicy;
  /**
   * How often what is due is looked for, whether or not an alarm rang. Whole minutes, at most 60.
   *
   * @default Duration.minutes(1)
   */
  readonly sweepEvery?: Duration;
  /**
   * An alarm of the broker that rings later than this is told of.
   *
   * @default Duration.seconds(5)
   */
  readonly latenessMax?: Duration;
  /**
   * Who is told when something has to be looked at.
   *
   * @default nobody; the alarms can be seen in CloudWatch
   */
  readonly alarmTopic?: ITopic;
  /**
   * Whether a page of graphs is made, which costs 3 $ a month.
   *
   * @default false
   */
  readonly dashboard?: boolean;
  /**
   * How long the functions' logs are kept.
   *
   * @default RetentionDays.ONE_MONTH
   */
  readonly logRetention?: RetentionDays;
  /**
   * Memory of functions in MB, and with it their share of a processor.
   *
   * @default 512 for those that callers wait for, 256 for pulls, which wait most of their time, 128 for on-alarm
   */
  readonly memoryMb?: Partial<Record<FunctionName, number>>;
  /**
   * Hosts (by name) and networks that producers may be asked at by webhook although they are not public. The functions
   * have to reach them.
   *
   * @default public addresses only
   */
  readonly allowWebhooksTo?: readonly string[];
  /**
   * The folder with the bundled functions.
   *
   * @default they are bundled now
   */
  readonly codeFolder?: string;
  /**
   * What the broker is called among those that a topic may be spread over.
   *
   * @default the name under which its metrics are
   */
  readonly brokerName?: string;
  /**
   * Where clients reach it, as name servers and the broker itself tell them: a domain of your own, for one.
   *
   * @default the URL of the front where there are name servers, else the broker tells nobody
   */
  readonly endpoint?: string;
  /**
   * Base URLs of the name servers with which it registers, every `sweepEvery`. Each has to let it: see
   * `NameServer.grantRegister`.
   *
   * @default none
   */
  readonly nameServers?: readonly string[];
  /**
   * What callers can ask for: routes, functions and their policies follow from it.
   *
   * @default everything that the broker can do
   */
  readonly operations?: readonly Operation[];
}

export type FunctionName = ApiFunction | "on-alarm";

/** HTTP APIs give up after 30 s. */
const callTimeout = Duration.seconds(29);
/** Waits out the rest of an early wake-up, at most 125 s, and then works. */
const onAlarmTimeout = Duration.minutes(5);

/** Part of what CloudFormation knows the resources by: another name would make them anew. */
const constructIds: Readonly<Record<FunctionName, string>> = {
  send: "Send",
  transact: "Transact",
  pull: "Pull",
  commit: "Commit",
  admin: "Admin",
  all: "All",
  "on-alarm": "OnAlarm",
};

const descriptions: Readonly<Record<FunctionName, string>> = {
  send: "sends",
  transact: "transactions and their checks",
  pull: "pulls and everything else that only reads",
  commit: "commits of consumers",
  admin: "makes, changes and deletes topics",
  all: "every operation, behind the Function URL",
  "on-alarm": "does what is due",
};

const defaultMemoryMb: Readonly<Record<FunctionName, number>> = {
  send: 512,
  transact: 512,
  pull: 256,
  commit: 512,
  admin: 512,
  all: 512,
  "on-alarm": 128,
};

/** A broker: table, bucket, functions and what wakes them, and a front for its callers. */
export class Tasso extends Construct {
  readonly storage: Storage;
  readonly wakeUps: WakeUps;
  readonly front: Front;
  readonly alarms: Alarms;
  /** What name servers know it by. */
  readonly brokerName: string;
  /** By name. */
  readonly functions: ReadonlyMap<FunctionName, BrokerFunction>;

  constructor(scope: Construct, id: string, props: TassoProps = {}) {
    super(scope, id);
    const {
      authorization = { kind: "iam" },
      removalPolicy = RemovalPolicy.RETAIN,
      sweepEvery = Duration.minutes(1),
      operations = everyOperation,
    } = props;
    expectSweepInterval(sweepEvery);
    const name = Names.uniqueResourceName(this, { maxLength: 50, separator: "-" });
    // Named before it is made, because it sets alarms for itself.
    const onAlarmName = `${name}-on-alarm`;
    const onAlarmArn = Stack.of(this).formatArn({
      service: "lambda",
      resource: "function",
      resourceName: onAlarmName,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    this.storage = new Storage(this, "Storage", { removalPolicy });
    this.wakeUps = new WakeUps(this, "WakeUps", { onAlarmArn });

    const settings = {
      table: this.storage.table.tableName,
      bucket: this.storage.bucket.bucketName,
      scheduleGroup: this.wakeUps.group.scheduleGroupName,
      schedulerRoleArn: this.wakeUps.role.roleArn,
      onAlarmArn,
      deadLettersArn: this.wakeUps.deadLetters.queueArn,
      service: name,
    };
    const { allowWebhooksTo = [] } = props;
    const code = Code.fromAsset(props.codeFolder ?? functionCode());
    const functions = new Map<FunctionName, BrokerFunction>();
    const addFunction = (
      entry: FunctionName,
      abilities: readonly Ability[],
      more: { readonly timeout: Duration; readonly functionName?: string },
    ): BrokerFunction => {
      const uses = new Set(abilities);
      const made = new BrokerFunction(this, constructIds[entry], {
        entry,
        code,
        // Who asks, and who takes the URL of whom to ask.
        environment: environmentOf(
          entry === "on-alarm" || serves(entry, "admin")
            ? { ...settings, allowWebhooksTo }
            : settings,
        ),
        description: `Tasso: ${descriptions[entry]}`,
        memoryMb: props.memoryMb?.[entry] ?? defaultMemoryMb[entry],
        logRetention: props.logRetention ?? RetentionDays.ONE_MONTH,
        uses,
        statements: statementsFor(uses, this),
        ...more,
      });
      functions.set(entry, made);
      return made;
    };
    this.functions = functions;

    const onAlarm = addFunction("on-alarm", sweepUses, {
      functionName: onAlarmName,
      timeout: onAlarmTimeout,
    });
    this.wakeUps.ring(onAlarm, { sweepEvery });

    const api = (entry: ApiFunction) =>
      functions.get(entry) ??
      addFunction(entry, usesOf(operations, entry), { timeout: callTimeout });
    this.front =
      props.front === "function-url"
        ? new UrlFront(this, "Front", {
            function: api("all").function,
            authorization: withoutTokens(authorization),
          })
        : new HttpFront(this, "Front", {
            operations,
            authorization,
            functionOf: (right) => api(functionFor(right)).function,
          });

    const { brokerName = name, nameServers = [] } = props;
    this.brokerName = brokerName;
    const { endpoint = nameServers.length > 0 ? this.front.url : undefined } = props;
    for (const [entry, { function: each }] of functions) {
      // A function cannot be told the address of its own Function URL. Senders ask the others.
      const isAsked = entry === "pull" || (entry === "all" && props.endpoint !== undefined);
      if (endpoint === undefined || !(isAsked || entry === "on-alarm")) continue;
      addEnvironment(each, identityEnvironment({ brokerName, endpoint }));
      if (entry !== "on-alarm" || nameServers.length === 0) continue;
      const leaseMs = String(leaseMsFor(sweepEvery));
      addEnvironment(each, identityEnvironment({ nameServers: nameServers.join(), leaseMs }));
    }

    this.alarms = new Alarms(this, "Alarms", {
      service: name,
      functions,
      deadLetters: this.wakeUps.deadLetters,
      sweepEvery,
      latenessMax: props.latenessMax ?? Duration.seconds(5),
      notify: props.alarmTopic,
    });
    if (props.dashboard) addDashboard(this, { service: name, functions });
  }

  /** Lets somebody call the operations of these rights. Behind a Function URL there is only everything. */
  grantCall(grantee: iam.IGrantable, ...rights: Right[]): void {
    this.front.grantCall(grantee, rights);
  }
}

/** Several schedules may be missed before it is stale: five minutes, or three times of those that come less often. */
function leaseMsFor(sweepEvery: Duration): number {
  return Math.max(5 * 60_000, 3 * sweepEvery.toMilliseconds());
}

function addEnvironment(target: LambdaFunction, variables: Record<string, string>): void {
  for (const [name, value] of Object.entries(variables)) target.addEnvironment(name, value);
}

/** What a function needs: what the operations that it serves use. */
function usesOf(operations: readonly Operation[], entry: ApiFunction): Ability[] {
  return operations.filter(({ right }) => serves(entry, right)).flatMap(({ uses }) => uses);
}

function expectSweepInterval(interval: Duration): void {
  const minutes = interval.toMinutes({ integral: false });
  if (Number.isInteger(minutes) && minutes >= 1 && minutes <= 60) return;
  throw new Error(`sweepEvery must be 1 to 60 whole minutes, not ${interval.toHumanString()}`);
}

function withoutTokens(authorization: Authorization): Exclude<Authorization, { kind: "jwt" }> {
  if (authorization.kind !== "jwt") return authorization;
  throw new Error(
    'a Function URL cannot look at tokens: authorization must be of the kind "iam" or "none", not "jwt"',
  );
}
