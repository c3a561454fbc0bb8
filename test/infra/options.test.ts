import { Duration, RemovalPolicy } from "aws-cdk-lib";
import { describe, expect, it } from "vitest";
import { optionsIn } from "../../infra/options.ts";

const given = (context: Record<string, unknown>) => optionsIn((name) => context[name]);

describe("the options of the app", () => {
  it("are the defaults of the construct where nothing is given", () => {
    expect(given({})).toEqual({
      stackName: "Tasso",
      front: "http-api",
      authorization: { kind: "iam" },
      removalPolicy: RemovalPolicy.RETAIN,
      sweepEvery: Duration.minutes(1),
      dashboard: false,
      nameServer: false,
      nameServers: [],
    });
  });

  it("are what is given", () => {
    expect(
      given({
        stackName: "Other",
        authorization: "jwt",
        issuer: "https://issuer.example",
        audience: "a,b",
        removal: "destroy",
        sweepMinutes: "5",
        dashboard: "true",
      }),
    ).toMatchObject({
      stackName: "Other",
      authorization: { kind: "jwt", issuer: "https://issuer.example", audience: ["a", "b"] },
      removalPolicy: RemovalPolicy.DESTROY,
      sweepEvery: Duration.minutes(5),
      dashboard: true,
    });
    expect(given({ front: "function-url", authorization: "none" })).toMatchObject({
      front: "function-url",
      authorization: { kind: "none" },
    });
  });

  it("are refused with everything that is wrong at once", () => {
    const wrong = {
      front: "alb",
      authorization: "jwt",
      removal: "now",
      sweepMinutes: "0",
      dashboard: "yes",
    };
    expect(() => given(wrong)).toThrow(
      [
        'sweepMinutes must be 1 to 60, not "0"',
        'front must be http-api or function-url, not "alb"',
        "authorization jwt needs issuer and audience",
        'removal must be retain or destroy, not "now"',
        'dashboard must be false or true, not "yes"',
      ].join("\n"),
    );
  });
});
