import { parseArgs } from "node:util";
import { allowedTargets } from "../adapters/webhooks/webhook-policy.ts";
import { limits } from "../broker/limits.ts";
import { type LogSettings, logSettings } from "../broker/log/log-settings.ts";
import { SettingsError } from "./settings-error.ts";

/** Settings of the local server: plain data, each with its default. */
export interface Settings {
  readonly host: string;
  readonly port: number;
  readonly data: string;
  /** File whose first line every caller has to bring as bearer token. */
  readonly tokenFile: string | undefined;
  /** Origin of the web pages that may call, as in `https://app.example.com`. */
  readonly corsOrigin: string | undefined;
  /** Names by which the server may be called besides loopback ones. */
  readonly allowedHosts: readonly string[];
  /** Hosts, addresses and networks that producers may be asked at by webhook although they are not public. */
  readonly allowWebhooksTo: readonly string[];
  /** How the broker is called where several brokers have queues of one topic. */
  readonly name: string | undefined;
  /** The base URL that others reach it by. */
  readonly advertise: string | undefined;
  readonly region: string | undefined;
  /** Base URLs of the name servers that it registers with. */
  readonly nameServers: readonly string[];
  /** File whose first line name servers want to see. */
  readonly nameServerTokenFile: string | undefined;
  /** How the log is kept, as far as it was said. */
  readonly log: Partial<LogSettings>;
}

interface LogOption {
  readonly option: string;
  readonly setting: keyof Pick<
    LogSettings,
    | "segmentBytesMax"
    | "segmentRowsMax"
    | "segmentAgeMs"
    | "archiveBytesMin"
    | "rowsKeptMs"
    | "strayBlobMs"
  >;
  readonly min: number;
  readonly max: number;
  readonly unit: string;
  readonly text: string;
}

const MB = 1_048_576;
const day = 24 * 60 * 60_000;

/** Whoever archives a segment holds it in memory twice, so it cannot be as large as you like. */
const logOptions: readonly LogOption[] = [
  {
    option: "segment-bytes",
    setting: "segmentBytesMax",
    min: 1_024,
    max: 64 * MB,
    unit: "bytes",
    text: "a segment of a queue is sealed at this size",
  },
  {
    option: "segment-rows",
    setting: "segmentRowsMax",
    min: 1,
    max: 32_767,
    unit: "rows",
    text: "or at so many rows",
  },
  {
    option: "segment-age-ms",
    setting: "segmentAgeMs",
    min: 100,
    max: 30 * day,
    unit: "ms",
    text: "or at this age",
  },
  {
    option: "archive-min-bytes",
    setting: "archiveBytesMin",
    min: 0,
    max: 64 * MB,
    unit: "bytes",
    text: "a sealed segment that is smaller stays in the store",
  },
  {
    option: "rows-kept-ms",
    setting: "rowsKeptMs",
    // Sooner somebody may still count with a segment as open, find it empty, and append to it once more.
    min: limits.directoryAgeMsMax + limits.appendDeadlineMs,
    max: 30 * day,
    unit: "ms",
    text: "so long rows stay in the store after they were archived",
  },
  {
    option: "stray-blob-ms",
    setting: "strayBlobMs",
    min: 0,
    max: 30 * day,
    unit: "ms",
    text: "a blob that was deleted is deleted again so much later",
  },
];

const logDefaults = logSettings({});

export const usage = `usage: npm start -- [options]

  --port N              port to listen on, 0 picks a free one (default 1290)
  --host ADDRESS        address to listen on (default 127.0.0.1; others need --token-file)
  --data FOLDER         where everything is kept (default ./data)
  --token-file FILE     its first line is the bearer token that every call must bring
  --allowed-host NAME   host name by which the server may be called besides loopback (repeatable)
  --cors-origin URL     origin whose web pages may call
  --allow-webhook-to H  host, address or network (10.0.0.0/8) that a checkUrl may name though it is not public, on any port
                        (repeatable); NODE_EXTRA_CA_CERTS=FILE in the environment adds certificates that are trusted
  --name-servers URLS   name servers to register with, commas between (needs --name)
  --name NAME           what this broker is called there (default: made from its data folder)
  --advertise URL       where clients reach it (default: where it listens)
  --region NAME         told to clients
  --name-server-token-file FILE
                        its first line is the bearer token that the name servers want
${logOptions
  .map(
    ({ option, setting, unit, text }) =>
      `  ${`--${option} N`.padEnd(22)}${text} (default ${logDefaults[setting]} ${unit})`,
  )
  .join("\n")}
  --help                this text

A retry looks for its first attempt in the rows of the last 10 minutes, so with --rows-kept-ms below 660000 one may be
told outcome_unknown although it has landed.`;

/** Reads the command line. `undefined`: help was asked for. Throws {@link SettingsError} with everything that is wrong at once. */
export function readSettings(args: readonly string[]): Settings | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  const wrong: string[] = [];
  const { host, "token-file": tokenFile, "cors-origin": corsOrigin } = values;
  const port = /^\d{1,5}$/.test(values.port) ? Number(values.port) : Number.NaN;
  if (!(port <= 65_535)) wrong.push(`--port must be 0 to 65535, not "${values.port}"`);
  if (!isLoopback(host) && tokenFile === undefined) {
    wrong.push(`--host ${host} can be reached from elsewhere and needs --token-file`);
  }
  if (corsOrigin !== undefined && !/^https?:\/\/[^/]+$/.test(corsOrigin)) {
    wrong.push(
      `--cors-origin must be an origin such as https://app.example.com, not "${corsOrigin}"`,
    );
  }
  const { advertise, region, "name-server-token-file": nameServerTokenFile } = values;
  const nameServers = readUrls("name-servers", values["name-servers"], wrong);
  const [advertised] = readUrls("advertise", advertise, wrong);
  const { name } = values;
  if (name !== undefined && !/^[A-Za-z0-9_-]{1,127}$/.test(name))
    wrong.push(`--name must be 1 to 127 of the characters A-Z a-z 0-9 _ -, not "${name}"`);
  if (nameServers.length > 0 && values.name === undefined)
    wrong.push("--name-servers needs --name: no two brokers may be called the same");
  const log = readLogSettings(values, wrong);
  const allowWebhooksTo = values["allow-webhook-to"];
  try {
    allowedTargets(allowWebhooksTo);
  } catch (error) {
    wrong.push(`--allow-webhook-to: ${(error as Error).message}`);
  }
  if (wrong.length > 0) throw new SettingsError(wrong.join("\n"));
  return {
    host,
    port,
    data: values.data,
    tokenFile,
    corsOrigin,
    allowedHosts: values["allowed-host"],
    allowWebhooksTo,
    name,
    advertise: advertised,
    region,
    nameServers,
    nameServerTokenFile,
    log,
  };
}

function readUrls(option: string, text: string | undefined, wrong: string[]): string[] {
  const urls = (text?.split(",") ?? []).map((url) => url.trim().replace(/\/+$/, ""));
  for (const url of urls) {
    if (!/^https?:\/\/[^/?#]+[^?#]*$/.test(url))
      wrong.push(`--${option} must be an http or https URL, not "${url}"`);
  }
  return urls;
}

function readLogSettings(
  values: Readonly<Record<string, unknown>>,
  wrong: string[],
): Partial<LogSettings> {
  const given: Partial<Record<LogOption["setting"], number>> = {};
  for (const { option, setting, min, max } of logOptions) {
    const text = values[option];
    if (typeof text !== "string") continue;
    const number = /^\d{1,11}$/.test(text) ? Number(text) : Number.NaN;
    if (number >= min && number <= max) given[setting] = number;
    else wrong.push(`--${option} must be a whole number from ${min} to ${max}, not "${text}"`);
  }
  return given;
}

export function isLoopback(host: string): boolean {
  return (
    host === "localhost" || host === "::1" || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host)
  );
}

const logOptionTypes = Object.fromEntries(
  logOptions.map(({ option }) => [option, { type: "string" } as const]),
);

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        host: { type: "string", default: "127.0.0.1" },
        port: { type: "string", default: "1290" },
        data: { type: "string", default: "./data" },
        "token-file": { type: "string" },
        "allowed-host": { type: "string", multiple: true, default: [] },
        "cors-origin": { type: "string" },
        "allow-webhook-to": { type: "string", multiple: true, default: [] },
        name: { type: "string" },
        advertise: { type: "string" },
        region: { type: "string" },
        "name-servers": { type: "string" },
        "name-server-token-file": { type: "string" },
        ...logOptionTypes,
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    throw new SettingsError((error as Error).message, { cause: error });
  }
}
