import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { makeTemporaryFolder } from "./adapters/local/temporary-folder.ts";
import { type ServerProcess, startServerProcess } from "./support/server-process.ts";

/** The first five minutes as README tells them, in their order, and what it says that they print. */
const root = fileURLToPath(new URL("..", import.meta.url));
const defaultPort = 1290;
const run = promisify(execFile);

interface Block {
  readonly language: string;
  readonly lines: readonly string[];
}

test("the first five minutes print what README shows, also after a kill", async () => {
  const { scripts } = JSON.parse(await readFile(`${root}package.json`, "utf8"));
  const kill = `pkill -9 -f '${scripts.start}'`;
  const blocks = blocksOf(await readFile(`${root}README.md`, "utf8"), "The first five minutes");
  const commands = blocks.filter(({ language }) => language === "sh").map(({ lines }) => lines);
  expect(commands.map(([first = ""]) => first.split(" ")[0])).toEqual([
    "npm",
    ...["curl", "curl", "curl", "curl"],
    "pkill",
    "curl",
  ]);
  expect(commands[0]).toEqual(["npm start"]);
  expect(commands[5]).toEqual([kill, "npm start"]);

  const folder = await makeTemporaryFolder();
  let server = await startOnDefaultPort(folder.path);
  const { port } = new URL(server.url);
  try {
    for (const [index, { language, lines }] of blocks.entries()) {
      if (language !== "sh") continue;
      if (lines[0] === kill) {
        server.signal("SIGKILL");
        await server.exited;
        server = await startServerProcess(["--port", port, "--data", folder.path]);
      } else if (lines[0]?.startsWith("curl ")) {
        const [line, ...others] = lines;
        expect(others).toEqual([]);
        const shown = blocks[index + 1];
        expect(shown?.language).toBe("json");
        expect(masked(await printedBy(line, port))).toBe(masked(shown?.lines.join("\n") ?? ""));
      }
    }
  } finally {
    await server.stop();
    await folder.remove();
  }
});

/** Another server may be using the port; then the line is run with the port that is free. */
async function startOnDefaultPort(data: string): Promise<ServerProcess> {
  try {
    return await startServerProcess(["--port", String(defaultPort), "--data", data]);
  } catch (error) {
    if (!String(error).includes("is taken")) throw error;
    return startServerProcess(["--data", data]);
  }
}

async function printedBy(line: string, port: string): Promise<string> {
  expect(line).toContain(`localhost:${defaultPort}/`);
  const here = line.replace(`localhost:${defaultPort}`, `localhost:${port}`);
  const { stdout } = await run("sh", ["-c", here]);
  return stdout;
}

/** Without what differs from run to run: ids that are drawn, and times. */
function masked(text: string): string {
  return text.replace(/"[0-9a-f]{32,}"/g, '"<id>"').replace(/\b\d{13}\b/g, "<time>");
}

function blocksOf(readme: string, title: string): Block[] {
  const [, section = ""] = readme.split(`\n## ${title}\n`);
  const [text = ""] = section.split("\n## ");
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)\n```$/gm)].map(
    ([, language = "", body = ""]) => ({
      language,
      lines: body.split("\n"),
    }),
  );
}
