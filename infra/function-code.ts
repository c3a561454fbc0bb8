import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type BuildOptions, buildSync } from "esbuild";

export const functionEntries = ["send", "pull", "commit", "admin", "all", "on-alarm"] as const;

const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * How all functions are bundled, in one call: one folder for all of them, in which they share what they have in common.
 *
 * - `splitting` with ES modules: what is imported late lies in files of its own and is loaded when it is needed.
 * - `mainFields`: the AWS SDK's ES modules, of which only what is used stays; its CommonJS is a third larger.
 * - `alias`: in Lambda the credentials lie in the environment. The SDK's own search for them (files, single sign-on,
 *   metadata of machines) would be 130 KB.
 * - `banner`: parts of the SDK still call `require`.
 * - `target`: what the oldest Node can do that the emulators run; the functions themselves run on Node 24.
 */
export const bundling = {
  absWorkingDir: root,
  entryPoints: functionEntries.map((name) => `functions/${name}.ts`),
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  mainFields: ["module", "main"],
  alias: { "@aws-sdk/credential-provider-node": "./functions/environment-credentials.ts" },
  banner: {
    js: 'import { createRequire as makeRequire } from "node:module"; const require = makeRequire(import.meta.url);',
  },
  minify: true,
  legalComments: "none",
  outExtension: { ".js": ".mjs" },
  chunkNames: "shared/[name]-[hash]",
  metafile: true,
} as const satisfies BuildOptions;

let bundled: string | undefined;

/** The folder with the code of all functions, bundled once a process. */
export function functionCode(): string {
  if (bundled === undefined) {
    const folder = mkdtempSync(join(tmpdir(), "tasso-functions-"));
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
    buildSync({ ...bundling, outdir: folder });
    bundled = folder;
  }
  return bundled;
}
