import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deploy, emulatedUrl } from "../../test/support/deployment.ts";
import { type Emulator, startEmulator } from "../../test/support/emulator.ts";
import { TestStack } from "../../test/support/test-stacks.ts";
import { bundleFunctions } from "../bundle-functions.mjs";
import { say } from "./command-line.ts";
import type { Patch } from "./server-process.ts";

/** The exit code where there is no emulator. */
const notInstalled = 3;

export interface DeployedStack {
  readonly url: string;
  readonly emulator: Emulator;
  readonly outputs: Readonly<Record<string, string>>;
  /** The lines that the functions wrote into the file that patches name `countingFile`. */
  noted(): readonly string[];
}

/** Stands in patches for a file that the functions may write to. */
export const countingFile = "COUNTING_FILE";

/**
 * Runs with a stack that asks nobody who he is, on an emulator of its own, of which nothing is left behind. The patches
 * are changes of the functions' source.
 */
export async function withStack<T>(
  patches: readonly Patch[],
  run: (stack: DeployedStack) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "tasso-stack-"));
  const file = join(folder, "counted");
  const filled = patches.map((patch) => ({
    ...patch,
    replace: patch.replace.replaceAll(countingFile, JSON.stringify(file)),
  }));
  const codeFolder = join(folder, "functions");
  await bundleFunctions({ outdir: codeFolder, patches: filled });
  const emulator = await startEmulator();
  if (typeof emulator === "string") {
    say(emulator);
    process.exit(notInstalled);
  }
  try {
    const { outputs } = await deploy(emulator, (app) => [
      new TestStack(app, "TassoAudit", { codeFolder, authorization: { kind: "none" } }),
    ]);
    const ofStack = outputs["TassoAudit"] ?? {};
    return await run({
      url: emulatedUrl(emulator, ofStack),
      emulator,
      outputs: ofStack,
      noted: () => linesIn(file),
    });
  } finally {
    await emulator.stop();
    rmSync(folder, { recursive: true });
  }
}

function linesIn(file: string): readonly string[] {
  try {
    return readFileSync(file, "utf8").split("\n").slice(0, -1);
  } catch {
    // Nobody has written yet.
    return [];
  }
}
