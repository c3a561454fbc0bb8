import { SignatureV4 } from "@smithy/signature-v4";
import { describe, expect, it } from "vitest";
import { Sha256 } from "../../src/adapters/aws/sha256.ts";
import { sigV4 } from "../../src/client/sig-v4.ts";

const credentials = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "secret" };

describe("a signature", () => {
  it.each([
    "https://host.test/v1/topics/orders/messages?queue=3&attempt=1",
    "https://host.test/stage/v1/groups/g/receive",
  ])("is the one that AWS's own signer makes: %s", async (url) => {
    const authorize = sigV4({
      service: "lambda",
      region: "eu-west-1",
      credentials: () => credentials,
    });
    const body = new TextEncoder().encode('{"max":1}');
    const given = { "content-type": "application/json" };
    const headers = await authorize({ method: "POST", url, headers: given, body });
    const date = headers["x-amz-date"] ?? "";
    const { protocol, hostname, pathname, searchParams, host } = new URL(url);
    const sameHeaders = Object.fromEntries(
      (/SignedHeaders=([^,]*)/.exec(headers["authorization"] ?? "")?.[1] ?? "")
        .split(";")
        .map((name) => [name, name === "host" ? host : (headers[name] ?? "")]),
    );
    const signer = new SignatureV4({
      service: "lambda",
      region: "eu-west-1",
      credentials,
      sha256: Sha256,
      applyChecksum: false,
    });
    const expected = await signer.sign(
      {
        method: "POST",
        protocol,
        hostname,
        path: pathname,
        query: Object.fromEntries(searchParams),
        headers: sameHeaders,
        body,
      },
      { signingDate: new Date(date.replace(/(....)(..)(..T..)(..)(..Z)/, "$1-$2-$3:$4:$5")) },
    );
    expect(headers["authorization"]).toBe(expected.headers["authorization"]);
    expect(headers["content-type"]).toBe("application/json");
  });
});
