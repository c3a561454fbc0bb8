import { ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import { afterAll, describe, expect, it } from "vitest";
import { operations } from "../../src/api/operations.ts";
import { runApiSuite } from "../api/api.suite.ts";
import { runSmallExamples } from "../examples/small-examples.cases.ts";
import { deploy, emulated, emulatedUrl } from "../support/deployment.ts";
import { startEmulator } from "../support/emulator.ts";
import { call } from "../support/http-client.ts";
import { startTokenIssuer } from "../support/json-web-tokens.ts";
import { rootCredentials, signedFetch } from "../support/signed-fetch.ts";
import { startSigningProxy } from "../support/signing-proxy.ts";
import { newUserKey, TestStack } from "../support/test-stacks.ts";

/**
 * The emulator that is started here verifies signatures and judges calls by the policies of who makes them, also those
 * of the functions. Others may not; then there is nothing to see of that.
 */
const enforceIam = { AUTH: "true" };
const audience = "brokers";

const began = performance.now();
const emulator = await startEmulator(enforceIam);

if (typeof emulator === "string") {
  it("can be deployed", ({ skip }) => skip(emulator));
} else {
  const startSeconds = secondsSince(began);
  const issuer = await startTokenIssuer();
  const { outputs, seconds, remove } = await deploy(emulator, (app) => [
    new TestStack(app, "TassoUrl", {
      front: "function-url",
      endpoint: "https://broker.example",
      userMay: ["send", "transact", "pull", "commit", "forward", "admin"],
    }),
    ...(hasHttpApis()
      ? [
          new TestStack(app, "TassoIam", { endpoint: "https://broker.example", userMay: ["send"] }),
          new TestStack(app, "TassoJwt", {
            authorization: { kind: "jwt", issuer: issuer.url, audience: [audience] },
          }),
          new TestStack(app, "TassoControl", { operations: withoutWrites() }),
        ]
      : []),
  ]).catch(async (error: unknown) => {
    issuer.close();
    await emulator.stop();
    throw error;
  });
  const urlOf = (stack: string) => emulatedUrl(emulator, outputs[stack]);
  const everybody = await newUserKey(emulator.endpoint, outputs["TassoUrl"]);
  const signing = await startSigningProxy(
    urlOf("TassoUrl"),
    signedFetch(everybody, { service: "lambda" }),
  );
  const suites = performance.now();

  afterAll(async () => {
    const suiteSeconds = secondsSince(suites);
    signing.stop();
    await everybody.remove();
    await remove();
    issuer.close();
    await emulator.stop();
    const phases = Object.entries({
      "start the emulator": startSeconds,
      ...seconds,
      suites: suiteSeconds,
    });
    process.stdout.write(`deployed: ${phases.map(([phase, s]) => `${phase} ${s} s`).join(", ")}\n`);
  });

  runApiSuite({
    name: "the stack with a Function URL",
    start: async () => ({
      url: urlOf("TassoUrl"),
      fetch: signedFetch(everybody, { service: "lambda" }),
      stop: async () => {},
    }),
  });

  runSmallExamples("the stack with a Function URL", () => signing.url);

  describe("a sealed segment of a deployed stack", () => {
    it("becomes an object in S3, from which its messages are read back", async () => {
      const send = signedFetch(everybody, { service: "lambda" });
      const ask = (method: string, path: string, json?: object) =>
        call(`${urlOf("TassoUrl")}/v1/topics/archived`, method, path, json && { json }, send);
      await ask("PUT", "", { queues: 1 });
      // More than the least that is archived, in rows that lie in the table.
      const body = (number: number) => `${number} ${"x".repeat(8_000)}`;
      for (let number = 0; number < 140; number += 10) {
        const sends = Array.from({ length: 10 }, (_, index) =>
          ask("POST", "/messages", { messages: [{ body: body(number + index), queue: 0 }] }),
        );
        for (const { status } of await Promise.all(sends)) expect(status).toBe(200);
      }
      expect((await ask("POST", "/seal")).json).toEqual({ queues: [{ queue: 0, sealedTo: 140 }] });
      const s3 = new S3Client({ ...emulated(emulator.endpoint), credentials: rootCredentials });
      const { BucketName: Bucket } = outputs["TassoUrl"] ?? {};
      await eventually(async () => {
        const list = new ListObjectsV2Command({ Bucket, Prefix: "segments/" });
        expect((await s3.send(list)).KeyCount).toBe(1);
      });
      s3.destroy();
      // Whoever has read the segment from the table goes on so for as long as he remembers it.
      await eventually(async () => {
        const pulled = await ask("GET", "/queues/0/messages?offset=100&max=20&maxBytes=1000000");
        expect(pulled.headers.get("x-tasso-units")).toContain("get=1");
        expect(pulled.json.messages).toHaveLength(20);
      });
      const bodies = new Set<string>();
      for (let offset = 0; offset < 140; ) {
        const { json } = await ask("GET", `/queues/0/messages?offset=${offset}&max=100`);
        for (const message of json.messages) bodies.add(message.body);
        offset = json.nextOffset;
      }
      expect(bodies).toEqual(new Set(Array.from({ length: 140 }, (_, number) => body(number))));
    }, 120_000);
  });

  describe.skipIf(!emulator.own)("the stack with a Function URL", () => {
    it("answers 403 to who does not sign", async () => {
      for (const path of ["/v1/health", "/v1/topics"]) {
        expect((await call(urlOf("TassoUrl"), "GET", path)).status).toBe(403);
      }
    });
  });

  if (hasHttpApis()) {
    runApiSuite({
      name: "the deployed stack",
      start: async () => ({
        url: urlOf("TassoIam"),
        fetch: signedFetch(rootCredentials, { service: "execute-api" }),
        processPerRight: true,
        stop: async () => {},
      }),
    });

    describe.skipIf(!emulator.own)("the deployed stack", () => {
      const url = urlOf("TassoIam");
      const ask = (
        method: string,
        path: string,
        user?: Parameters<typeof signedFetch>[0],
        json?: object,
      ) =>
        call(
          url,
          method,
          path,
          json === undefined ? {} : { json },
          user === undefined ? undefined : signedFetch(user, { service: "execute-api" }),
        );
      const message = { messages: [{ body: "x" }] };

      it("tells its health to everybody and nothing else to whom it does not know", async () => {
        expect((await ask("GET", "/v1/health")).status).toBe(200);
        for (const { method, path } of operations.filter(({ name }) => name !== "health")) {
          const somewhere = path.replace(/\{(\w+)\}/g, "0");
          expect((await ask(method, somewhere)).status, `${method} ${path}`).toBe(403);
        }
        expect((await ask("GET", "/v1/nothing")).status).toBe(403);
      });

      it("lets a user call what was granted to him, and nothing else", async () => {
        const sender = await newUserKey(emulator.endpoint, outputs["TassoIam"]);
        await ask("PUT", "/v1/topics/granted", rootCredentials, { queues: 1 });
        expect((await ask("POST", "/v1/topics/granted/messages", sender, message)).status).toBe(
          200,
        );
        for (const [method, path] of [
          ["GET", "/v1/topics/granted"],
          ["GET", "/v1/topics/granted/queues/0/messages?offset=0"],
          ["PUT", "/v1/groups/g/offsets/granted"],
          ["DELETE", "/v1/topics/granted"],
        ] as const) {
          expect((await ask(method, path, sender)).status, `${method} ${path}`).toBe(403);
        }
        const forged = { ...sender, secretAccessKey: "not his" };
        expect((await ask("POST", "/v1/topics/granted/messages", forged, message)).status).toBe(
          403,
        );
        await sender.remove();
      });

      it("is held to its policies: a function whose operations say that they do not write cannot", async () => {
        const control = urlOf("TassoControl");
        const send = signedFetch(rootCredentials, { service: "execute-api" });
        const topic = `${control}/v1/topics/control`;
        const made = await call(topic, "PUT", "", { json: { queues: 1 } }, send);
        expect(made.status).toBe(201);
        const sent = await call(topic, "POST", "/messages", { json: message }, send);
        expect(sent).toMatchObject({ status: 503, json: { code: "unavailable" } });
      });
    });

    describe("the stack with tokens", () => {
      it("answers 401 without a token and to one that is not for it, and 200 to one that is", async () => {
        const ask = (token?: string) =>
          call(urlOf("TassoJwt"), "GET", "/v1/topics", {
            headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
          });
        expect((await ask()).status).toBe(401);
        expect((await ask(issuer.token({ audience: "others" }))).status).toBe(401);
        expect((await ask(issuer.token({ audience, seconds: -60 }))).status).toBe(401);
        const good = issuer.token({ audience });
        expect((await ask(`${good.slice(0, -4)}AAAA`)).status).toBe(401);
        expect((await ask(good)).status).toBe(200);
      });
    });
  }
}

/** The free edition of LocalStack has none: there TASSO_FRONT=function-url leaves them out. */
function hasHttpApis(): boolean {
  // biome-ignore lint/style/noProcessEnv: it is said to the tests, not to what they test
  return process.env["TASSO_FRONT"] !== "function-url";
}

/** Tries again each second until it holds. */
async function eventually(holds: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await holds();
      return;
    } catch (error) {
      if (tries === 60) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
}

function secondsSince(then: number): number {
  return Math.round((performance.now() - then) / 100) / 10;
}

/** The control: sends are said to need nothing, so their function may do nothing. */
function withoutWrites() {
  return operations.map((operation) =>
    operation.right === "send" ? { ...operation, uses: ["readStore"] as const } : operation,
  );
}
