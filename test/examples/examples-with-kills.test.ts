import { expect, it } from "vitest";
import { runScript } from "../support/run-script.ts";

it("the larger examples are right whenever their processes are killed, and send-then-acknowledge is not", {
  timeout: 300_000,
}, async () => {
  const options = ["--seed", "1290", "--runs", "3"];
  const { code, output } = await runScript("scripts/examples-with-kills.ts", options);
  expect(code, output).toBe(0);
});
