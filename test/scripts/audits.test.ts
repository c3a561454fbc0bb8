import { describe, expect, it } from "vitest";
import { type Ran, runScript } from "../support/run-script.ts";

/** The audits in scripts/, in short: each demands that the server passes and that its known bug is caught. */
const seed = 1290;
const limitMs = 150_000;
const notInstalled = 3;
const notPermitted = 4;

describe("the audit", () => {
  it("of kills under load passes, and catches an acknowledgement before the write", {
    timeout: limitMs,
  }, async () => {
    await expectPass("kill-rounds", 2);
  });

  it("of kills while it archives and trims passes, and catches three known bugs", {
    timeout: 2 * limitMs,
  }, async () => {
    await expectPass("archive-kills", 2);
  });

  it("of two processes on one folder passes, and catches ids that are not looked up", {
    timeout: limitMs,
  }, async () => {
    await expectPass("two-processes", 1);
  });

  it("of retries through a proxy passes, and catches attempts that do not look back", {
    timeout: limitMs,
  }, async () => {
    await expectPass("retry-proxy", 20);
  });

  it("of delayed sends that are tried again passes, and catches a delay that counts from each attempt", {
    timeout: limitMs,
  }, async () => {
    await expectPass("delayed-retries", 10);
  });

  it("of recalls that race with delivery passes, and catches a recall after it", {
    timeout: limitMs,
  }, async () => {
    await expectPass("recall-races", 30);
  });

  it("of transactions whose producers are killed passes, and catches a commit that leaves them open", {
    timeout: limitMs,
  }, async () => {
    await expectPass("transaction-kills", 28);
  });

  it("of halves that another process settles passes, and catches one that does not look", {
    timeout: limitMs,
  }, async () => {
    await expectPass("check-back-dies", 12);
  });

  it("of commits and rollbacks that race passes, and catches a second outcome", {
    timeout: limitMs,
  }, async () => {
    await expectPass("transaction-races", 30);
  });

  it("of the client behind a proxy passes, and catches a batch id for each attempt", {
    timeout: limitMs,
  }, async () => {
    await expectPass("sdk-proxy", 1_000);
  });

  it("of bad disks passes", { timeout: limitMs }, async () => {
    await expectPass("bad-disk", 1);
  });

  it("of flushes passes, and catches replies without one", {
    timeout: limitMs,
  }, async ({ skip }) => {
    const { code, output } = await run("durable", 100);
    if (code === notInstalled) skip(output);
    // biome-ignore lint/style/noProcessEnv: where tests run for everybody, nothing may go unseen
    if (code === notPermitted && process.env["CI"] === undefined) skip(output);
    expect(code, output).toBe(0);
  });

  it("of functions that die passes, and catches attempts that do not look back", {
    timeout: 2 * limitMs,
  }, async ({ skip }) => {
    const { code, output } = await run("functions-die", 5);
    if (code === notInstalled) skip(output);
    expect(code, output).toBe(0);
  });
});

async function expectPass(script: string, rounds: number): Promise<void> {
  const { code, output } = await run(script, rounds);
  expect(code, output).toBe(0);
}

function run(script: string, rounds: number): Promise<Ran> {
  return runScript(`scripts/${script}.ts`, ["--seed", String(seed), "--rounds", String(rounds)]);
}
