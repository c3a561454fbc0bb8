import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, it } from "vitest";
import { makeTemporaryFolder } from "../adapters/local/temporary-folder.ts";
import { call } from "../support/http-client.ts";
import { runScript } from "../support/run-script.ts";
import { startServerProcess } from "../support/server-process.ts";

it("the example of the name server shows who asks whom, and where the message went", async () => {
  const folder = await makeTemporaryFolder();
  const args = ["scripts/tasso.mjs", "nameserver", "--port", "0", "--settle-ms", "0"];
  const nameServer = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(nameServer.stdout, "data");
  const [, at = ""] = /listens on (\S+)/.exec(String(line)) ?? [];
  const options = ["--data", folder.path, "--name", "bakery", "--name-servers", at];
  const broker = await startServerProcess(options);
  try {
    expect((await call(broker.url, "PUT", "/v1/topics/bread", { json: {} })).status).toBe(201);
    await untilKnown(at);
    const environment = { TASSO_NAME_SERVER: at };
    const { code, output } = await runScript("examples/07-name-server.ts", [], environment);
    expect(code, output).toBe(0);
    expect(
      output
        .trim()
        .replace(/[0-9a-f]{40}$/, "<id>")
        .split("\n"),
    ).toEqual([
      `shop -> name server at ${at}: who holds "bread"?`,
      `name server -> shop: broker "bakery" at ${broker.url}`,
      'shop -> broker "bakery": store "two loaves"',
      'broker "bakery" -> shop: stored as <id>',
    ]);
  } finally {
    await broker.stop();
    nameServer.kill();
    await folder.remove();
  }
});

async function untilKnown(nameServer: string): Promise<void> {
  while ((await call(nameServer, "GET", "/v1/routes/bread")).status !== 200)
    await new Promise((resolve) => setTimeout(resolve, 50));
}
