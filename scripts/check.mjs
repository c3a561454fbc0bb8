// The checks that need no running broker: types and lint.
import { spawnSync } from "node:child_process";
import { installMissing } from "./install.mjs";

installMissing({ dev: true });
for (const [command, ...args] of [
  ["node_modules/.bin/tsc", "-p", "."],
  ["node_modules/.bin/biome", "check", "--error-on-warnings"],
]) {
  const { status } = spawnSync(command, args, { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
