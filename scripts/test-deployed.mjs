// `npm run test:localstack`: the tests of the deployed stack against an emulator that runs already, or any endpoint.
import { spawnSync } from "node:child_process";
import process from "node:process";
import { installMissing } from "./install.mjs";

installMissing({ dev: true });
// biome-ignore lint/style/noProcessEnv: it is how the endpoint is named, here and in every tool of AWS
const { AWS_ENDPOINT_URL = "http://127.0.0.1:4566", ...environment } = process.env;
const { status } = spawnSync(
  "node",
  ["node_modules/vitest/vitest.mjs", "run", "test/deployed", ...process.argv.slice(2)],
  { stdio: "inherit", env: { ...environment, AWS_ENDPOINT_URL, CI: "true" } },
);
process.exit(status ?? 1);
