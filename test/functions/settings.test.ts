import { afterEach, describe, expect, it, vi } from "vitest";
import { environmentOf, readCredentials, readSettings } from "../../functions/settings.ts";

const settings = {
  table: "t",
  bucket: "b",
  scheduleGroup: "g",
  schedulerRoleArn: "r",
  onAlarmArn: "f",
  deadLettersArn: "d",
  service: "s",
};

describe("the settings of a function", () => {
  afterEach(() => vi.unstubAllEnvs());

  function give(environment: Record<string, string>): void {
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
  }

  it("are what its stack told it", () => {
    vi.stubEnv("AWS_ENDPOINT_URL", undefined);
    give(environmentOf(settings));
    expect(readSettings()).toEqual(settings);
    give({ AWS_ENDPOINT_URL: "http://127.0.0.1:1" });
    expect(readSettings()).toEqual({ ...settings, lambdaEndpoint: "http://127.0.0.1:1" });
  });

  it("name where webhooks may go only where somebody said so", () => {
    expect(environmentOf(settings)).toEqual(environmentOf({ ...settings, allowWebhooksTo: [] }));
    const allowed = { ...settings, allowWebhooksTo: ["hooks.internal", "10.0.0.0/8"] };
    give(environmentOf(allowed));
    expect(readSettings().allowWebhooksTo).toEqual(allowed.allowWebhooksTo);
  });

  it("name everything that is missing at once", () => {
    give({ ...environmentOf(settings), TASSO_TABLE: "", TASSO_SERVICE: "" });
    expect(readSettings).toThrow("the environment lacks TASSO_TABLE, TASSO_SERVICE");
  });

  it("do not hold the credentials, which have a token only where there is one", () => {
    give({ AWS_ACCESS_KEY_ID: "id", AWS_SECRET_ACCESS_KEY: "secret", AWS_SESSION_TOKEN: "" });
    expect(readCredentials()).toEqual({ accessKeyId: "id", secretAccessKey: "secret" });
    give({ AWS_SESSION_TOKEN: "token" });
    expect(readCredentials()).toMatchObject({ sessionToken: "token" });
  });
});
