import { expect, test } from "vitest";
import { logSettings } from "../../src/broker/log/log-settings.ts";
import { readSettings, usage } from "../../src/local/settings.ts";
import { SettingsError } from "../../src/local/settings-error.ts";

const logOptions = {
  "--segment-bytes": "segmentBytesMax",
  "--segment-rows": "segmentRowsMax",
  "--segment-age-ms": "segmentAgeMs",
  "--archive-min-bytes": "archiveBytesMin",
  "--rows-kept-ms": "rowsKeptMs",
  "--stray-blob-ms": "strayBlobMs",
} as const;

test("says nothing of the log where nothing was said", () => {
  expect(readSettings([])?.log).toEqual({});
});

test("each option of the log sets what it is named for, and the usage tells its default", () => {
  for (const [option, setting] of Object.entries(logOptions)) {
    const number = setting === "segmentRowsMax" ? 2_000 : 90_000;
    expect(readSettings([option, String(number)])?.log).toEqual({ [setting]: number });
    const line = usage.split("\n").find((text) => text.includes(`${option} N`));
    expect(line).toContain(`(default ${logSettings({})[setting]} `);
  }
});

test("tells every number of the log that is out of its range", () => {
  const options = Object.keys(logOptions);
  for (const number of ["-1", "1.5", "1e3", "", "99999999999", "999999999999999999"]) {
    const read = () => readSettings(options.map((option) => `${option}=${number}`));
    expect(read).toThrow(SettingsError);
    for (const option of options) expect(read).toThrow(`${option} must be a whole number`);
  }
});

test("rows are kept for as long as somebody may count with their segment as open", () => {
  expect(readSettings(["--rows-kept-ms", "80000"])?.log).toEqual({ rowsKeptMs: 80_000 });
  expect(() => readSettings(["--rows-kept-ms", "79999"])).toThrow("from 80000 to");
});

test("webhooks go where they are allowed to go, and what is no host or network is told", () => {
  expect(readSettings([])?.allowWebhooksTo).toEqual([]);
  const given = ["hooks.internal", "10.0.0.0/8"];
  const options = given.flatMap((each) => ["--allow-webhook-to", each]);
  expect(readSettings(options)?.allowWebhooksTo).toEqual(given);
  expect(() => readSettings(["--allow-webhook-to", "https://hooks.internal"])).toThrow(
    '--allow-webhook-to: "https://hooks.internal" is no host name',
  );
});
