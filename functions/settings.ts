import type { BrokerIdentity } from "../src/broker/broker-identity.ts";

/** What a function is told by its stack. Plain names; nothing here is secret. */
export interface Settings {
  /** The DynamoDB table that is the store. */
  readonly table: string;
  /** The S3 bucket of the blobs. */
  readonly bucket: string;
  /** The group of EventBridge Scheduler in which alarms are set. */
  readonly scheduleGroup: string;
  /** The role under which the Scheduler calls. */
  readonly schedulerRoleArn: string;
  /** Whom alarms wake. */
  readonly onAlarmArn: string;
  /** The queue for alarms that could not be rung. */
  readonly deadLettersArn: string;
  /** Tells this deployment's metrics from another's. */
  readonly service: string;
  /** Hosts and networks that may be asked by webhook although they are not public. */
  readonly allowWebhooksTo?: readonly string[];
}

/** Where Lambda is called that is not AWS. The clients of the SDK look for it themselves. */
export interface Emulated {
  readonly lambdaEndpoint?: string;
}

const variables: Readonly<Record<keyof Omit<Settings, "allowWebhooksTo">, string>> = {
  table: "TASSO_TABLE",
  bucket: "TASSO_BUCKET",
  scheduleGroup: "TASSO_SCHEDULE_GROUP",
  schedulerRoleArn: "TASSO_SCHEDULER_ROLE_ARN",
  onAlarmArn: "TASSO_ON_ALARM_ARN",
  deadLettersArn: "TASSO_DEAD_LETTERS_ARN",
  service: "TASSO_SERVICE",
};
/** Names and networks with commas between; absent where only public addresses may be asked. */
const allowWebhooksVariable = "TASSO_ALLOW_WEBHOOKS_TO";

const identityVariables = {
  brokerName: "TASSO_BROKER_NAME",
  endpoint: "TASSO_ENDPOINT",
  nameServers: "TASSO_NAME_SERVERS",
  leaseMs: "TASSO_LEASE_MS",
} as const;

/** The environment that {@link readIdentity} and {@link readRegistration} read, as far as it is given. */
export function identityEnvironment(
  given: Partial<Readonly<Record<keyof typeof identityVariables, string>>>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(given).map(([field, value]) => [
      identityVariables[field as keyof typeof identityVariables],
      value,
    ]),
  );
}

/** `undefined` where it was not told how others reach it. */
export function readIdentity(): BrokerIdentity | undefined {
  const { TASSO_BROKER_NAME: name, TASSO_ENDPOINT: endpoint, AWS_REGION: region } = process.env;
  if (!name || !endpoint) return undefined;
  return { name, endpoint, ...(region ? { region } : {}) };
}

/** With whom a broker registers, and for how long. No name servers where none are given. */
export function readRegistration(): {
  readonly nameServers: readonly string[];
  readonly leaseMs: number;
} {
  const { TASSO_NAME_SERVERS = "", TASSO_LEASE_MS } = process.env;
  const nameServers = TASSO_NAME_SERVERS.split(",").filter(Boolean);
  return { nameServers, leaseMs: Number(TASSO_LEASE_MS ?? 0) };
}

/** What the function of a name server is told. Throws with everything that is missing at once. */
export function readNameServerSettings(): Pick<Settings, "table" | "service"> {
  const { TASSO_TABLE: table, TASSO_SERVICE: service } = process.env;
  if (!table || !service) throw new Error("the environment lacks TASSO_TABLE or TASSO_SERVICE");
  return { table, service };
}

/** The environment that {@link readSettings} reads. */
export function environmentOf(settings: Settings): Record<string, string> {
  const environment = Object.fromEntries(
    Object.entries(variables).map(([field, name]) => [
      name,
      settings[field as keyof typeof variables],
    ]),
  );
  const { allowWebhooksTo = [] } = settings;
  if (allowWebhooksTo.length > 0) environment[allowWebhooksVariable] = allowWebhooksTo.join(",");
  return environment;
}

/** Throws with everything that is missing at once. */
export function readSettings(): Settings & Emulated {
  const missing = Object.values(variables).filter((name) => !process.env[name]);
  if (missing.length > 0) throw new Error(`the environment lacks ${missing.join(", ")}`);
  const settings = Object.fromEntries(
    Object.entries(variables).map(([field, name]) => [field, process.env[name]]),
  ) as unknown as Settings;
  const { AWS_ENDPOINT_URL: lambdaEndpoint, [allowWebhooksVariable]: allowed } = process.env;
  return {
    ...settings,
    ...(lambdaEndpoint ? { lambdaEndpoint } : {}),
    ...(allowed ? { allowWebhooksTo: allowed.split(",") } : {}),
  };
}

/** The function's own credentials, which stay as they are for as long as its process lives. */
export function readCredentials() {
  const {
    AWS_ACCESS_KEY_ID: accessKeyId = "",
    AWS_SECRET_ACCESS_KEY: secretAccessKey = "",
    AWS_SESSION_TOKEN: sessionToken,
  } = process.env;
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}
