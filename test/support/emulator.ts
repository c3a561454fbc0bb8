import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { emulatorCommand } from "../../scripts/emulator.mjs";
import { makeTemporaryFolder } from "../adapters/local/temporary-folder.ts";

export interface Emulator {
  /** Where all its services listen. */
  readonly endpoint: string;
  /** Whether it was started here and so is empty; one that was running already may hold anything. */
  readonly own: boolean;
  /** What a process needs to talk to it instead of AWS. */
  readonly environment: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

const repository = fileURLToPath(new URL("../..", import.meta.url));
const startMsMax = 30_000;
const stopMsMax = 5_000;

/**
 * Starts an AWS emulator of its own, or answers the one that `AWS_ENDPOINT_URL` names. Where neither can be had the
 * answer is why, for the tests to be skipped with that reason; where tests run for everybody it throws.
 *
 * @param environment What the emulator, and with it every function that it runs, finds in its environment besides.
 */
export async function startEmulator(
  environment: Readonly<Record<string, string>> = {},
): Promise<Emulator | string> {
  // biome-ignore lint/style/noProcessEnv: it is how somebody else's emulator is named
  const { AWS_ENDPOINT_URL: given, CI: runsForEverybody } = process.env;
  if (given) return { endpoint: given, own: false, environment: aws(given), stop: async () => {} };
  const found = emulatorCommand();
  if ("command" in found) return launch(found.command, environment);
  if (runsForEverybody !== undefined) throw new Error(found.missing);
  process.stderr.write(`Tests on the AWS emulator are skipped: ${found.missing}.\n`);
  return found.missing;
}

async function launch(
  [command = "", ...args]: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<Emulator> {
  const port = await freePort();
  const folder = await makeTemporaryFolder();
  // In there it writes workers in CommonJS, which our package.json would turn into modules.
  if (resolve(folder.path).startsWith(repository))
    throw new Error("the emulator needs a folder for temporary files outside the repository");
  const child = spawn(command, args, {
    // A group of its own: the functions that it runs end with it.
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
    env: {
      // biome-ignore lint/style/noProcessEnv: all else is kept from the functions, which inherit this
      PATH: `${dirname(process.execPath)}:${process.env["PATH"]}`,
      HOME: homedir(),
      TMPDIR: folder.path,
      GATEWAY_PORT: `${port}`,
      BIND_HOST: "127.0.0.1",
      MINISTACK_HOST: "127.0.0.1",
      IOT_MTLS_ENABLED: "0",
      LAMBDA_WARM_TTL_SECONDS: "30",
      LAMBDA_ACCOUNT_CONCURRENCY: "200",
      ...environment,
    },
  });
  const group = new ProcessGroup(child);
  const endpoint = `http://127.0.0.1:${port}`;
  const stop = async () => {
    await group.end();
    await folder.remove();
  };
  try {
    await healthy(endpoint, group);
  } catch (error) {
    await stop();
    throw error;
  }
  return { endpoint, own: true, environment: aws(endpoint), stop };
}

function aws(endpoint: string): Record<string, string> {
  return {
    AWS_ENDPOINT_URL: endpoint,
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "test",
    AWS_SECRET_ACCESS_KEY: "test",
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return address.port;
}

async function healthy(endpoint: string, group: ProcessGroup): Promise<void> {
  const deadline = performance.now() + startMsMax;
  while (performance.now() < deadline && !group.ended) {
    const response = await fetch(`${endpoint}/_ministack/health`).catch(() => undefined);
    if (response?.ok) return;
    await new Promise((wake) => setTimeout(wake, 50));
  }
  throw new Error(`the emulator does not answer: ${group.stderr}`);
}

const fatalSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** A process with all that it started. It does not outlive this one. */
class ProcessGroup {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown>;
  ended = false;
  /** The last that it said. */
  stderr = "";

  constructor(child: ChildProcess) {
    this.#child = child;
    this.#exited = new Promise((exited) => {
      child.once("error", (error) => exited(this.#note(error.message)));
      child.once("exit", exited);
    }).finally(() => {
      this.ended = true;
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => this.#note(text));
    process.on("exit", this.#kill);
    for (const name of fatalSignals) process.on(name, this.#killAndFollow);
  }

  /** Some functions sleep through a `SIGTERM`, and the emulator itself may hang. */
  async end(): Promise<void> {
    this.#signal("SIGTERM");
    const tooLate = setTimeout(this.#kill, stopMsMax);
    await this.#exited;
    clearTimeout(tooLate);
    this.#kill();
    process.off("exit", this.#kill);
    for (const name of fatalSignals) process.off(name, this.#killAndFollow);
  }

  readonly #kill = () => this.#signal("SIGKILL");

  readonly #killAndFollow = (name: NodeJS.Signals) => {
    this.#kill();
    for (const other of fatalSignals) process.off(other, this.#killAndFollow);
    process.kill(process.pid, name);
  };

  #signal(name: NodeJS.Signals): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, name);
    } catch {
      // Nobody of the group is left.
    }
  }

  #note(text: string): void {
    this.stderr = (this.stderr + text).slice(-4_000);
  }
}
