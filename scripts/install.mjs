// Installs what is missing and nothing else, so that `npm start` and `npm test` work on a fresh clone.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** @param {{dev: boolean}} options `dev`: also what only tests and checks need. */
export function installMissing({ dev }) {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
  const wanted = { ...dependencies, ...(dev ? devDependencies : {}) };
  const missing = Object.entries(wanted).filter(
    ([name, version]) => installedVersion(name) !== version,
  );
  if (missing.length === 0) return;
  process.stderr.write(`installing ${missing.map(([name]) => name).join(", ")}\n`);
  const { status } = spawnSync(
    "npm",
    ["ci", ...(dev ? [] : ["--omit=dev"]), "--no-audit", "--no-fund", "--loglevel=error"],
    {
      cwd: root,
      // npm's own words go to stderr: stdout belongs to what is started.
      stdio: ["ignore", 2, 2],
      shell: process.platform === "win32",
    },
  );
  if (status !== 0) process.exit(status ?? 1);
}

function installedVersion(name) {
  const file = `${root}node_modules/${name}/package.json`;
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).version : undefined;
}
