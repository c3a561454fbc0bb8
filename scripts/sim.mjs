// `npm run sim`: the real broker under simulated faults. See test/simulator/main.ts for the options.
import { fileURLToPath, pathToFileURL } from "node:url";
import { installMissing } from "./install.mjs";

installMissing({ dev: true });
const { bundle } = await import("./bundle.mjs");
const outfile = fileURLToPath(new URL("../node_modules/.cache/tasso/sim.mjs", import.meta.url));
await bundle({ entry: "test/simulator/main.ts", outfile });
await import(pathToFileURL(outfile).href);
