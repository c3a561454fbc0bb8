import type { APIGatewayProxyEventV2 } from "aws-lambda";
import { describe, expect, it } from "vitest";
import { toRequest, toResult } from "../../functions/http-events.ts";

interface Given {
  readonly routeKey?: string;
  readonly rawPath?: string;
  readonly pathParameters?: Record<string, string>;
  readonly rawQueryString?: string;
  readonly body?: string;
  readonly isBase64Encoded?: boolean;
  readonly headers?: Record<string, string>;
}

function event({ routeKey = "$default", rawPath = "/", ...given }: Given): APIGatewayProxyEventV2 {
  return {
    version: "2.0",
    rawQueryString: "",
    headers: {},
    isBase64Encoded: false,
    ...given,
    routeKey,
    rawPath,
    requestContext: { http: { method: "GET", path: rawPath } },
  } as unknown as APIGatewayProxyEventV2;
}

describe("the path of a request", () => {
  it("of a known route is built from parameters, which an HTTP API has decoded", () => {
    const { path } = toRequest(
      event({
        routeKey: "GET /v1/topics/{topic}/queues/{queue}/messages",
        rawPath: "/mapped/v1/topics/%DLQ%g/queues/0/messages",
        pathParameters: { topic: "%DLQ%g", queue: "0" },
      }),
    );
    expect(path).toBe("/v1/topics/%25DLQ%25g/queues/0/messages");
  });

  it("of a Function URL is as the caller encoded it", () => {
    const pathOf = (rawPath: string) => toRequest(event({ rawPath })).path;
    expect(pathOf("/v1/topics/%25DLQ%25g")).toBe("/v1/topics/%25DLQ%25g");
    expect(pathOf("/v1/topics/a%20b")).toBe("/v1/topics/a%20b");
  });

  it("of a Function URL that somebody decoded is encoded where it has to be", () => {
    expect(toRequest(event({ rawPath: "/v1/topics/%DLQ%g" })).path).toBe("/v1/topics/%25DLQ%25g");
  });
});

describe("the rest of a request", () => {
  it("has the query as it was sent, also what is given twice", () => {
    const { query } = toRequest(event({ rawQueryString: "a=1&a=2&b=x%20y+z" }));
    expect([query.getAll("a"), query.get("b")]).toEqual([["1", "2"], "x y z"]);
  });

  it("has the bytes of the body, however they came", () => {
    const bytes = Buffer.from([0, 255, 10]);
    const binary = event({ body: bytes.toString("base64"), isBase64Encoded: true });
    expect(toRequest(binary).body).toEqual(bytes);
    expect(toRequest(event({ body: "Grüße" })).body).toEqual(Buffer.from("Grüße"));
    expect(toRequest(event({})).body.length).toBe(0);
  });

  it("has headers by their lower-case names", () => {
    const { header } = toRequest(event({ headers: { "x-request-id": "7" } }));
    expect([header("x-request-id"), header("accept")]).toEqual(["7", undefined]);
  });
});

describe("the result", () => {
  const headers = { "x-request-id": "7" };

  it("is text where the answer is, and nothing where it is nothing", () => {
    expect(toResult({ status: 200, headers, body: '{"a":"ü"}' })).toEqual({
      statusCode: 200,
      headers,
      body: '{"a":"ü"}',
    });
    expect(toResult({ status: 204, headers, body: undefined })).toEqual({
      statusCode: 204,
      headers,
    });
  });

  it("is base64 where the answer is bytes", () => {
    const body = [Uint8Array.of(0, 255), Uint8Array.of(10)];
    expect(toResult({ status: 200, headers, body })).toEqual({
      statusCode: 200,
      headers,
      body: Buffer.from([0, 255, 10]).toString("base64"),
      isBase64Encoded: true,
    });
  });

  it("of 4 MB of JSON stays within the 6 MB that a function may answer, however much has to be escaped", () => {
    const limit = 6 * 1_024 * 1_024;
    for (const letter of ["x", '"', "ü"]) {
      for (const megabytes of [2.3, 4]) {
        const bytes = megabytes * 1_024 * 1_024;
        const body = letter.repeat(bytes / Buffer.byteLength(letter));
        const result = JSON.stringify(toResult({ status: 200, headers, body }));
        expect(Buffer.byteLength(result), `${megabytes} MB of ${letter}`).toBeLessThan(limit);
      }
    }
  });
});
