// `npm test`: installs what is missing and runs all tests. Arguments go to vitest.
import { spawnSync } from "node:child_process";
import { installMissing } from "./install.mjs";

installMissing({ dev: true });
const { status } = spawnSync(
  "node",
  ["node_modules/vitest/vitest.mjs", "run", ...process.argv.slice(2)],
  { stdio: "inherit" },
);
process.exit(status ?? 1);
