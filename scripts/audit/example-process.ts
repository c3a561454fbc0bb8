import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable } from "node:stream";

const running = new Set<ExampleProcess>();

/** A process of an example, told by its environment alone what it needs. */
export class ExampleProcess {
  /** What it ended with; a signal counts as `null`. */
  readonly exited: Promise<number | null>;
  output = "";
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;

  constructor(bundle: string, environment: Readonly<Record<string, string>>) {
    this.#child = spawn(process.execPath, [bundle], {
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(this);
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

  /** When it has said so many lines, or ended without. */
  said(lines: number): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (this.output.split("\n").length > lines) resolve();
      };
      this.#child.stdout.on("data", look);
      this.#child.once("close", () => resolve());
    });
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
