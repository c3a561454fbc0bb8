import { type ChildProcessByStdio, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath, pathToFileURL } from "node:url";

/** A change of one source file for one bundle: how a known bug is switched on. */
export interface Patch {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

interface Bundler {
  bundle(options: { entry: string; outfile: string; patches: readonly Patch[] }): Promise<string>;
}

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Bundles the local server, or another entry; answers the path of the bundle. */
export async function buildServer(
  name: string,
  patches: readonly Patch[] = [],
  entry = "src/local/main.ts",
): Promise<string> {
  const { bundle } = (await import(
    pathToFileURL(join(root, "scripts/bundle.mjs")).href
  )) as Bundler;
  // Inside the project, so that lmdb is found; by process, so that two runs do not share it.
  const outfile = join(root, `node_modules/.cache/tasso/audit/${name}-${process.pid}.mjs`);
  bundles.push(outfile);
  return bundle({ entry, outfile, patches });
}

const bundles: string[] = [];

export interface StartOptions {
  readonly bundle: string;
  readonly data: string;
  readonly port?: number;
  /** Put in front of the command, as in `strace -f`; has to become the server itself. */
  readonly under?: readonly string[];
  /** More of the server's options, as on its command line. */
  readonly options?: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const running = new Set<ServerProcess>();
const startMsMax = 30_000;

/** The local server as a process of its own. */
export class ServerProcess {
  readonly exited: Promise<Exit>;
  url = "";
  errors = "";
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;

  private constructor({ bundle, data, port = 0, under = [], options = [] }: StartOptions) {
    const own = ["--port", String(port), "--data", data, ...options];
    const [command = "", ...args] = [...under, process.execPath, bundle, ...own];
    this.#child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    running.add(this);
    this.#child.stderr.on("data", (chunk: Buffer) => {
      this.errors += chunk.toString();
    });
    this.exited = new Promise((resolve, reject) => {
      this.#child.on("error", reject);
      this.#child.on("close", (code, signal) => {
        running.delete(this);
        resolve({ code, signal });
      });
    });
  }

  /** Starts one and does not wait for it. */
  static begin(options: StartOptions): ServerProcess {
    return new ServerProcess(options);
  }

  /** Starts one and waits until it takes requests; where it ends instead, `url` stays empty. */
  static async launch(options: StartOptions): Promise<ServerProcess> {
    const server = new ServerProcess(options);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("the server does not start")), startMsMax);
    });
    await Promise.race([server.#listening(), server.exited, late]);
    clearTimeout(timer);
    return server;
  }

  static async start(options: StartOptions): Promise<ServerProcess> {
    const server = await ServerProcess.launch(options);
    if (server.url === "") throw new Error(`the server did not start: ${server.errors}`);
    return server;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get alive(): boolean {
    return running.has(this);
  }

  /** Kills it as a power cut would, and waits until it is gone. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }

  /** Asks it to end. */
  stop(): Promise<Exit> {
    this.#child.kill("SIGTERM");
    return this.exited;
  }

  #listening(): Promise<void> {
    return new Promise((resolve) => {
      let text = "";
      this.#child.stdout.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        this.url = /tasso listens on (\S+)\n/.exec(text)?.[1] ?? "";
        if (this.url !== "") resolve();
      });
    });
  }

  forceEnd(): void {
    this.#child.kill("SIGKILL");
  }
}

process.on("exit", () => {
  for (const server of running) server.forceEnd();
  for (const file of bundles) rmSync(file, { force: true });
});
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));

/** Runs with a folder of its own, and cleans up behind itself unless it throws. */
export async function withFolder<T>(run: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "tasso-audit-"));
  const result = await run(folder);
  await rm(folder, { recursive: true, force: true });
  return result;
}

/** Ends the script, and what it has started with it. */
export function finish(ok: boolean): never {
  process.exit(ok ? 0 : 1);
}
