import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const start = fileURLToPath(new URL("../../scripts/start.mjs", import.meta.url));
const startMsMax = 30_000;

export interface ExitedProcess {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ServerProcess {
  readonly url: string;
  readonly exited: Promise<ExitedProcess>;
  signal(name: NodeJS.Signals): void;
  /** Asks it to end and fails unless it does so with exit code 0. */
  stop(): Promise<void>;
}

/** Runs `npm start` with arguments to its end. */
export function runServer(args: readonly string[]): Promise<ExitedProcess> {
  return launch(args).exited;
}

/** Starts the server on a free port and waits until it listens. */
export async function startServerProcess(args: readonly string[]): Promise<ServerProcess> {
  const { child, exited, output } = launch(["--port", "0", ...args]);
  const url = await new Promise<string>((resolve, reject) => {
    const tooLate = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error("the server does not listen"));
    }, startMsMax);
    child.stdout.on("data", () => {
      const [, found] = /^tasso listens on (\S+)$/m.exec(output.stdout) ?? [];
      if (found === undefined) return;
      clearTimeout(tooLate);
      resolve(found);
    });
    void exited.then(({ code, stderr }) => {
      clearTimeout(tooLate);
      reject(new Error(`the server ended with ${code}: ${stderr}`));
    });
  });
  // It says that it listens a moment before it heeds signals; an answer shows that it got further.
  await fetch(`${url}/v1/health`);
  return {
    url,
    exited,
    signal: (name) => void child.kill(name),
    async stop() {
      child.kill("SIGTERM");
      const { code, stderr } = await exited;
      if (code !== 0) throw new Error(`the server ended with ${code}: ${stderr}`);
    },
  };
}

function launch(args: readonly string[]) {
  const child = spawn(process.execPath, [start, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const output = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    output.stderr += text;
  });
  const exited = new Promise<ExitedProcess>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, ...output }));
  });
  return { child, exited, output };
}
