import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const bundler = fileURLToPath(new URL("../scripts/bundle-functions.mjs", import.meta.url));
let bundled: string | undefined;

/** The folder with the code of all functions, bundled once a process and gone with it: the CDK copies it. */
export function functionCode(): string {
  if (bundled === undefined) {
    const folder = mkdtempSync(join(tmpdir(), "tasso-functions-"));
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
    // A process of its own, because constructs cannot wait.
    execFileSync(process.execPath, [bundler, folder], { stdio: ["ignore", "ignore", "inherit"] });
    bundled = folder;
  }
  return bundled;
}
