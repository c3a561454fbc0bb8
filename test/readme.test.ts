import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { makeTemporaryFolder } from "./adapters/local/temporary-folder.ts";
import { call } from "./support/http-client.ts";
import { type ServerProcess, startServerProcess } from "./support/server-process.ts";

/** The commands that README tells, in their order, and what it says that they print. */
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
  const blocks = await blocksOf("The first five minutes");
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
        const { shown, printed } = await runShown(blocks, index, port);
        expect(masked(printed)).toBe(masked(shown));
      }
    }
  } finally {
    await server.stop();
    await folder.remove();
  }
});

test("a message is delayed, found and recalled as README shows", async () => {
  const blocks = await blocksOf("Later, and never mind");
  const folder = await makeTemporaryFolder();
  const server = await startOnDefaultPort(folder.path);
  const { port } = new URL(server.url);
  try {
    // The topic of the first five minutes.
    await call(server.url, "PUT", "/v1/topics/orders", { json: { queues: 4 } });
    let handle = { shown: "", printed: "" };
    let commands = 0;
    for (const [index, { language }] of blocks.entries()) {
      if (language !== "sh") continue;
      const { shown, printed } = await runShown(blocks, index, port, handle);
      expect(masked(printed)).toBe(masked(shown));
      if (commands++ === 0) handle = { shown: handleIn(shown), printed: handleIn(printed) };
    }
    expect(commands).toBe(3);
    expect((await call(server.url, "GET", "/v1/delayed")).json.delayed).toEqual([]);
  } finally {
    await server.stop();
    await folder.remove();
  }
});

test("a message is prepared and committed as README shows", async () => {
  const blocks = await blocksOf("Only if");
  const folder = await makeTemporaryFolder();
  const server = await startOnDefaultPort(folder.path);
  const { port } = new URL(server.url);
  try {
    await call(server.url, "PUT", "/v1/topics/orders", { json: { queues: 4 } });
    let id = { shown: "", printed: "" };
    let commands = 0;
    for (const [index, { language }] of blocks.entries()) {
      if (language !== "sh") continue;
      const { shown, printed } = await runShown(blocks, index, port, id);
      expect(masked(printed)).toBe(masked(shown));
      if (commands++ === 0)
        id = {
          shown: JSON.parse(shown).transactionId,
          printed: JSON.parse(printed).transactionId,
        };
    }
    expect(commands).toBe(3);
  } finally {
    await server.stop();
    await folder.remove();
  }
});

/** Runs the one line of a block and answers what README shows behind it, and what was printed. */
async function runShown(
  blocks: readonly Block[],
  index: number,
  port: string,
  handle = { shown: "", printed: "" },
): Promise<{ readonly shown: string; readonly printed: string }> {
  const [line = "", ...others] = blocks[index]?.lines ?? [];
  expect(others).toEqual([]);
  const shown = blocks[index + 1];
  expect(["json", "text"]).toContain(shown?.language);
  const printed = await printedBy(line.replace(handle.shown, handle.printed), port);
  return { shown: shown?.lines.join("\n") ?? "", printed };
}

function handleIn(answer: string): string {
  return JSON.parse(answer).results[0].recallHandle;
}

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

async function blocksOf(title: string): Promise<Block[]> {
  const readme = await readFile(`${root}README.md`, "utf8");
  const [, section = ""] = readme.split(`\n## ${title}\n`);
  const [text = ""] = section.split("\n## ");
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)\n```$/gm)].map(
    ([, language = "", body = ""]) => ({
      language,
      lines: body.split("\n"),
    }),
  );
}
