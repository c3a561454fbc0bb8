#!/usr/bin/env node
// The command line: bundles it as `npm start` bundles the local server, and runs it.
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { installMissing } from "./install.mjs";

if (process.argv[2] === "start") {
  process.argv.splice(2, 1);
  await import("./start.mjs");
} else {
  installMissing({ dev: false });
  const { bundle } = await import("./bundle.mjs");
  const outfile = fileURLToPath(new URL("../node_modules/.cache/tasso/cli.mjs", import.meta.url));
  await bundle({ entry: "src/cli/main.ts", outfile });
  await import(pathToFileURL(outfile).href);
}
