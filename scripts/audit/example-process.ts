import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable } from "node:stream";

const running = new Set<ExampleProcess>();

/** A process of an example, told by its environment alone what it needs. */
export class ExampleProcess {
  /** What it ended with; a signal counts as `null`. */
  readonly exited: Promise<number | null>;
  /** When it said something for the first time, or ended without. */
  readonly begun: Promise<void>;
  output = "";
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;

  constructor(bundle: string, environment: Readonly<Record<string, string>>) {
    this.#child = spawn(process.execPath, [bundle], {
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(this);
    this.begun = new Promise((resolve) => {
      this.#child.stdout.once("data", () => resolve());
      this.#child.once("close", () => resolve());
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.output += text;
      });
    this.exited = new Promise((resolve, reject) => {
      this.#child.on("error", reject);
      this.#child.on("close", (code) => {
        running.delete(this);
        resolve(code);
      });
    });
  }

  get alive(): boolean {
    return running.has(this);
  }

  /** Kills it as a power cut would, and waits until it is gone. */
  async kill(): Promise<void> {
    this.forceEnd();
    await this.exited;
  }

  forceEnd(): void {
    this.#child.kill("SIGKILL");
  }
}

process.on("exit", () => {
  for (const one of running) one.forceEnd();
});
