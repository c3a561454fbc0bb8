import { parseArgs } from "node:util";

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
}

export const usage = `usage: npm start -- [options]

  --port N            port to listen on, 0 picks a free one (default 1290)
  --host ADDRESS      address to listen on (default 127.0.0.1; others need --token-file)
  --data FOLDER       where everything is kept (default ./data)
  --token-file FILE   its first line is the bearer token that every call must bring
  --allowed-host NAME host name by which the server may be called besides loopback (repeatable)
  --cors-origin URL   origin whose web pages may call
  --help              this text`;

/** The settings were given wrongly; the message says which and what is allowed. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

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
  if (wrong.length > 0) throw new SettingsError(wrong.join("\n"));
  return {
    host,
    port,
    data: values.data,
    tokenFile,
    corsOrigin,
    allowedHosts: values["allowed-host"],
  };
}

export function isLoopback(host: string): boolean {
  return (
    host === "localhost" || host === "::1" || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host)
  );
}

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
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    throw new SettingsError((error as Error).message, { cause: error });
  }
}
