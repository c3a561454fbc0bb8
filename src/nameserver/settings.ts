import { parseArgs } from "node:util";
import { isLoopback } from "../local/settings.ts";
import { SettingsError } from "../local/settings-error.ts";
import { nameServerLimits } from "./limits.ts";

/** Settings of a name server that is a process: plain data, each with its default. */
export interface NameServerSettings {
  readonly host: string;
  readonly port: number;
  /** File whose first line whoever asks has to bring as bearer token. */
  readonly tokenFile: string | undefined;
  /** File whose first line brokers have to bring. */
  readonly brokerTokenFile: string | undefined;
  readonly allowedHosts: readonly string[];
  readonly settleMs: number;
}

export const nameServerUsage = `usage: tasso nameserver [options]

  --port N                  port to listen on, 0 picks a free one (default 9876, as RocketMQ's)
  --host ADDRESS            address to listen on (default 127.0.0.1; others need both token files)
  --token-file FILE         its first line is the bearer token of those who ask for routes
  --broker-token-file FILE  its first line is the bearer token of brokers, who may register (default: as --token-file)
  --allowed-host NAME       host name by which it may be called besides loopback (repeatable)
  --settle-ms N             so long after its start it tells no route that may lack a broker (default ${nameServerLimits.settleMs})
  --help                    this text`;

/** Reads the command line. `undefined`: help was asked for. Throws {@link SettingsError} with everything that is wrong at once. */
export function readNameServerSettings(args: readonly string[]): NameServerSettings | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  const wrong: string[] = [];
  const { host, "token-file": tokenFile, "broker-token-file": brokerTokenFile } = values;
  const port = wholeNumber("port", values.port, 65_535, wrong);
  const settleMs = wholeNumber("settle-ms", values["settle-ms"], 600_000, wrong);
  if (!isLoopback(host) && (tokenFile === undefined || brokerTokenFile === undefined))
    wrong.push(
      `--host ${host} can be reached from elsewhere and needs --token-file and --broker-token-file`,
    );
  if (brokerTokenFile !== undefined && tokenFile === undefined)
    wrong.push("--broker-token-file needs --token-file, or everybody could ask");
  if (wrong.length > 0) throw new SettingsError(wrong.join("\n"));
  return { host, port, tokenFile, brokerTokenFile, allowedHosts: values["allowed-host"], settleMs };
}

function wholeNumber(option: string, text: string, max: number, wrong: string[]): number {
  const number = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number <= max)) wrong.push(`--${option} must be 0 to ${max}, not "${text}"`);
  return number;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        host: { type: "string", default: "127.0.0.1" },
        port: { type: "string", default: "9876" },
        "token-file": { type: "string" },
        "broker-token-file": { type: "string" },
        "allowed-host": { type: "string", multiple: true, default: [] },
        "settle-ms": { type: "string", default: String(nameServerLimits.settleMs) },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    throw new SettingsError((error as Error).message, { cause: error });
  }
}
