import { expect, it } from "vitest";
import { limits } from "../../../src/broker/limits.ts";
import { logSettings } from "../../../src/broker/log/log-settings.ts";

it("keeps rows for as long as somebody may count with their segment as open", () => {
  const least = limits.directoryAgeMsMax + limits.appendDeadlineMs;
  expect(logSettings({ rowsKeptMs: least }).rowsKeptMs).toBe(least);
  expect(() => logSettings({ rowsKeptMs: least - 1 })).toThrow("rows stay");
});
