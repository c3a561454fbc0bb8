import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exitCodeOf, exitCodes } from "../../src/cli/exit-codes.ts";
import { TassoError } from "../../src/client/index.ts";
import { makeTemporaryFolder, type TemporaryFolder } from "../adapters/local/temporary-folder.ts";
import { type ServerProcess, startServerProcess } from "../support/server-process.ts";

const bin = fileURLToPath(new URL("../../scripts/tasso.mjs", import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly lines: readonly string[];
  readonly stderr: string;
}

function tasso(args: readonly string[], input = ""): Promise<Ended> {
  const child = spawn(process.execPath, [bin, ...args], { stdio: "pipe" });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) =>
      resolve({ code, lines: stdout.split("\n").filter(Boolean), stderr }),
    );
  });
}

describe("the command line", () => {
  let broker: ServerProcess;
  let folder: TemporaryFolder;
  const ask = (args: readonly string[], input?: string) =>
    tasso(["--broker", broker.url, ...args], input);
  const rows = ({ lines }: Ended) => lines.map((line) => JSON.parse(line));

  beforeAll(async () => {
    folder = await makeTemporaryFolder();
    broker = await startServerProcess(["--data", `${folder.path}/data`]);
    await ask(["topics", "create", "orders", "--queues", "2"]);
  });
  afterAll(async () => {
    await broker.stop();
    await folder.remove();
  });

  it("makes, shows, changes and deletes topics, and writes lines of JSON where nobody watches", async () => {
    expect(
      rows(await ask(["topics", "create", "bills", "--queues", "1", "--shared"])),
    ).toMatchObject([{ topic: "bills", queues: 1, shared: true }]);
    expect(
      rows(await ask(["topics", "change", "bills", "--queues", "2", "--not-shared"])),
    ).toMatchObject([{ queues: 2, shared: false }]);
    expect(rows(await ask(["topics"])).map(({ topic }) => topic)).toEqual(["bills", "orders"]);
    expect(rows(await ask(["topics", "show", "bills"]))).toMatchObject([
      { queue: 0, min: 0, max: 0 },
      { queue: 1, min: 0, max: 0 },
    ]);
    expect((await ask(["topics", "delete", "bills"])).code).toBe(0);
    expect((await ask(["topics", "show", "bills"])).code).toBe(exitCodes.refused);
  });

  it("sends the lines of a file and of standard input in their order in each queue, and reads them back", async () => {
    const lines = Array.from({ length: 3_000 }, (_, at) => `line ${at} é`);
    const file = `${folder.path}/lines`;
    await writeFile(file, `${lines.slice(0, 2_500).join("\n")}\n\n`);
    const sent = await ask(["--progress", "send", "orders", "--file", file]);
    expect([sent.code, rows(sent)]).toEqual([0, [{ sent: 2_500, empty: 1 }]]);
    expect(sent.stderr).toMatch(/0 % \|.*100 % \|/s);
    expect(sent.stderr).toContain("1 empty lines were left out");
    await ask(["send", "orders"], lines.slice(2_500).join("\n"));
    const read = await ask(["tail", "orders", "--from", "earliest", "--until-end"]);
    expect([read.code, read.stderr]).toEqual([0, ""]);
    const found: { queue: number; offset: number; body: string }[] = rows(read);
    expect(found.map(({ body }) => body).sort()).toEqual([...lines].sort());
    for (const queue of [0, 1]) {
      const inQueue = found.filter((one) => one.queue === queue);
      expect(inQueue.map(({ offset }) => offset)).toEqual(inQueue.map((_, at) => at));
      const order = inQueue.slice(0, 1_000).map(({ body }) => Number(body.split(" ")[1]));
      expect(order).toEqual([...order].sort((a, b) => a - b));
    }
    const bodies = await ask(["tail", "orders", "--from", "earliest", "--max", "2", "--body"]);
    expect(bodies.lines).toHaveLength(2);
    expect(lines).toContain(bodies.lines[0]);
  });

  it("sends a message with all that it may have, many times, and receives it for a group", async () => {
    await ask(["topics", "create", "full", "--queues", "1"]);
    const fields = ["--tag", "a", "--key", "k", "--property", "p=q=r", "--queue", "0"];
    expect(rows(await ask(["send", "full", "hello", ...fields]))).toMatchObject([
      { queue: 0, offset: 0 },
    ]);
    expect(rows(await ask(["send", "full", "again", "--repeat", "3"]))).toEqual([
      { sent: 3, empty: 0 },
    ]);
    const [told] = rows(
      await ask(["tail", "full", "--from", "earliest", "--tag", "a", "--until-end"]),
    );
    expect(told).toMatchObject({ body: "hello", tag: "a", keys: ["k"], properties: { p: "q=r" } });
    const received = await ask(["receive", "readers", "full", "--max", "4", "--ack"]);
    expect(rows(received).map(({ body }) => body)).toEqual(["hello", "again", "again", "again"]);
    const [lag] = rows(await ask(["lag", "readers", "full"]));
    expect(lag).toMatchObject({ queue: 0, committed: 4, max: 4, lag: 0, inFlight: 0 });
    const [reset] = rows(await ask(["reset", "readers", "full", "--to", "earliest"]));
    expect(reset).toMatchObject({ queue: 0, before: 4, after: 0 });
    expect(rows(await ask(["groups"]))).toMatchObject([{ group: "readers", topics: ["full"] }]);
    expect((await ask(["dlq", "list", "readers"])).lines).toEqual([]);
  });

  it("lists what waits, and recalls it", async () => {
    await ask(["topics", "create", "later", "--queues", "1"]);
    await ask(["send", "later", "x", "--delay-ms", "600000"]);
    const [{ recallHandle }] = rows(await ask(["delayed", "--topic", "later"]));
    expect((await ask(["delayed", "recall", recallHandle])).code).toBe(0);
    expect((await ask(["delayed", "--topic", "later"])).lines).toEqual([]);
  });

  it("tells how it went by its exit code", async () => {
    const codes: [readonly string[], number][] = [
      [["topics", "create", "orders", "--queues", "3"], exitCodes.refused],
      [["lag", "nobody", "nothing"], exitCodes.refused],
      [["nonsense"], exitCodes.wrongUsage],
      [["reset", "g", "orders"], exitCodes.wrongUsage],
      [["reset", "g", "orders", "--to", "soon"], exitCodes.wrongUsage],
      [["send", "orders", "x", "--file", "y"], exitCodes.wrongUsage],
      [["send", "orders", "--file", `${folder.path}/none`], exitCodes.wrongUsage],
      [["--name-servers", "http://127.0.0.1:2", "topics"], exitCodes.wrongUsage],
      [["--help"], exitCodes.done],
      [["nameserver", "--port", "x"], exitCodes.wrongUsage],
      [["start", "--port", "x"], exitCodes.wrongUsage],
    ];
    for (const [args, code] of codes) expect((await ask(args)).code, args.join(" ")).toBe(code);
    const nobody = await tasso(["--broker", "http://127.0.0.1:2", "--timeout-ms", "300", "topics"]);
    expect(nobody.code).toBe(exitCodes.notReachable);
    expect(nobody.stderr).toContain("unreachable");
  });

  it("looks whether a broker is well", async () => {
    const well = await ask(["doctor"]);
    expect(rows(well)).toContainEqual(expect.objectContaining({ check: "clock", ok: true }));
    const ill = await tasso(["--broker", "http://127.0.0.1:2", "--timeout-ms", "300", "doctor"]);
    expect([ill.code, rows(ill)]).toMatchObject([exitCodes.failed, [{ ok: false }]]);
  });
});

it("an unknown outcome is told only of what changes something", () => {
  const error = new TassoError("no_answer", "nobody answered", { outcomeUnknown: true });
  expect(exitCodeOf(error, { changes: true })).toBe(exitCodes.outcomeUnknown);
  expect(exitCodeOf(error, { changes: false })).toBe(exitCodes.notReachable);
  expect(exitCodeOf(new Error("a bug"), { changes: true })).toBe(exitCodes.failed);
});
