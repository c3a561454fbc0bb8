// `npm start`: installs what running needs, bundles the local server and runs it.
import { fileURLToPath, pathToFileURL } from "node:url";
import { installMissing } from "./install.mjs";

installMissing({ dev: false });
const { bundle } = await import("./bundle.mjs");
const outfile = fileURLToPath(new URL("../node_modules/.cache/tasso/local.mjs", import.meta.url));
await bundle({ entry: "src/local/main.ts", outfile });
await import(pathToFileURL(outfile).href);
