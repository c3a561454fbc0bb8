// The AWS emulator of the tests. It is a Python program: it gets an environment of its own in the user's cache.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";

// biome-ignore lint/style/noProcessEnv: tools of development are told here where they find what they need
const { MINISTACK: named, XDG_CACHE_HOME: cache } = process.env;

/** Its deviations from AWS are listed in the tests, so a new version is a change of the tests. */
const packages = ["ministack==1.5.33", "cryptography==50.0.2"];
const oldestPython = [3, 10];

/**
 * The command that runs the emulator, installed if need be: what `MINISTACK` names, or the version of the tests. `missing`
 * says why there is none.
 *
 * @returns {{command: readonly string[]} | {missing: string}}
 */
export function emulatorCommand() {
  if (named) return { command: named.split(" ") };
  const caches = cache || join(homedir(), ".cache");
  const folder = join(caches, "tasso", packages.join("+").replaceAll("==", "-"));
  if (!existsSync(folder)) {
    const missing = install(folder);
    if (missing) return { missing };
  }
  return { command: [pythonIn(folder), "-m", "ministack"] };
}

/** Several processes may do this at once: each builds a folder of its own, and the first one's stays. */
function install(folder) {
  const python = ["python3", "python"].find(isNewEnough);
  if (!python) return `there is no Python ${oldestPython.join(".")} or newer`;
  process.stderr.write(`installing the AWS emulator (${packages.join(", ")})\n`);
  const own = `${folder}.${process.pid}`;
  mkdirSync(own, { recursive: true });
  try {
    run(python, ["-m", "venv", own]);
    const quiet = ["--quiet", "--disable-pip-version-check"];
    run(pythonIn(own), ["-m", "pip", "install", ...quiet, ...packages]);
    renameSync(own, folder);
  } catch (error) {
    rmSync(own, { recursive: true, force: true });
    if (!existsSync(folder)) return `the AWS emulator cannot be installed: ${error.message}`;
  }
  return undefined;
}

function isNewEnough(python) {
  const check = `import sys, venv; sys.exit(sys.version_info < (${oldestPython.join(", ")}))`;
  return spawnSync(python, ["-c", check]).status === 0;
}

function pythonIn(folder) {
  return join(folder, "bin", "python");
}

function run(command, args) {
  const { status, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw error ?? new Error(stderr.trim());
}
