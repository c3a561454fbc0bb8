import { writeFile } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeTemporaryFolder, type TemporaryFolder } from "../adapters/local/temporary-folder.ts";
import { call } from "../support/http-client.ts";
import { runServer, startServerProcess } from "../support/server-process.ts";
import { processTarget } from "../support/targets.ts";
import { runApiSuite } from "./api.suite.ts";

runApiSuite(processTarget);

describe("the server as a process", () => {
  let folder: TemporaryFolder;
  let data: string[];
  beforeEach(async () => {
    folder = await makeTemporaryFolder();
    data = ["--data", `${folder.path}/data`];
  });
  afterEach(() => folder.remove());

  it("answers a long poll in flight when it is told to end, ends with 0, and keeps everything", async () => {
    const server = await startServerProcess(data);
    const path = "/v1/topics/orders";
    await call(server.url, "PUT", path, { json: { queues: 1 } });
    await call(server.url, "POST", `${path}/messages`, { json: { messages: [{ body: "kept" }] } });
    const waiting = call(server.url, "GET", `${path}/queues/0/messages?offset=1&waitMs=20000`);
    // A later pull that came back shows that the one before is being waited on.
    await call(server.url, "GET", `${path}/queues/0/messages?offset=1&waitMs=200`);
    const began = Date.now();
    server.signal("SIGTERM");
    expect(await waiting).toMatchObject({ status: 200, json: { messages: [], nextOffset: 1 } });
    expect(await server.exited).toMatchObject({ code: 0, stderr: "" });
    expect(Date.now() - began).toBeLessThan(10_000);

    const again = await startServerProcess(data);
    const pulled = await call(again.url, "GET", `${path}/queues/0/messages?offset=0`);
    expect(pulled.json.messages).toMatchObject([{ body: "kept", offset: 0 }]);
    await again.stop();
  });

  it("keeps what was acknowledged when it is killed", async () => {
    const server = await startServerProcess(data);
    const path = "/v1/topics/orders";
    await call(server.url, "PUT", path, { json: { queues: 1 } });
    const sent = Array.from({ length: 20 }, (_, index) =>
      call(server.url, "POST", `${path}/messages`, { json: { messages: [{ body: `${index}` }] } }),
    );
    const answers = await Promise.all(sent);
    server.signal("SIGKILL");
    await server.exited;
    const again = await startServerProcess(data);
    const pulled = await call(again.url, "GET", `${path}/queues/0/messages?offset=0`);
    answers.forEach(({ json }, index) => {
      expect(pulled.json.messages[json.results[0].offset].body).toBe(`${index}`);
    });
    await again.stop();
  });

  it("says so when its port is taken", async () => {
    const server = await startServerProcess(data);
    const { port } = new URL(server.url);
    const second = await runServer(["--port", port, "--data", `${folder.path}/other`]);
    expect(second).toMatchObject({ code: 1, stdout: "" });
    expect(second.stderr).toContain(`port ${port}`);
    expect(second.stderr).toContain("--port");
    await server.stop();
  });

  it("leaves a folder of a newer format, or a damaged mark, alone and says why", async () => {
    await startServerProcess(data).then((server) => server.stop());
    const mark = `${folder.path}/data/tasso.json`;
    await writeFile(mark, '{"format":99}');
    const newer = await runServer(["--port", "0", ...data]);
    expect(newer).toMatchObject({ code: 1, stdout: "" });
    expect(newer.stderr).toMatch(/format 99.*newer release/s);
    await writeFile(mark, "{");
    const damaged = await runServer(["--port", "0", ...data]);
    expect(damaged.code).toBe(1);
    expect(damaged.stderr).toContain("tasso.json");
    const nowhere = await runServer(["--port", "0", "--data", `${mark}/below`]);
    expect(nowhere.code).toBe(1);
    expect(nowhere.stderr).toContain("cannot be made");
  });

  it("explains itself with --help", async () => {
    const { code, stdout, stderr } = await runServer(["--help"]);
    expect([code, stderr]).toEqual([0, ""]);
    const options = [
      "--port",
      "--host",
      "--data",
      "--token-file",
      "--allowed-host",
      "--cors-origin",
    ];
    for (const option of options) expect(stdout).toContain(option);
  });

  it("refuses wrong options with all that is wrong, the usage, and exit code 2", async () => {
    const wrong = await runServer(["--port", "70000", "--host", "0.0.0.0", "--cors-origin", "x"]);
    expect(wrong).toMatchObject({ code: 2, stdout: "" });
    for (const part of ["--port must be", "needs --token-file", "--cors-origin must", "usage:"]) {
      expect(wrong.stderr).toContain(part);
    }
    for (const args of [
      ["--nonsense"],
      ["stray"],
      ["--port"],
      ["--port", "-1"],
      ["--port", "1e3"],
    ]) {
      const each = await runServer(args);
      expect(each.code, args.join(" ")).toBe(2);
      expect(each.stderr).toContain("usage:");
    }
    const token = await runServer(["--port", "0", ...data, "--token-file", `${folder.path}/none`]);
    expect(token.code).not.toBe(0);
    expect(token.stderr).toContain("--token-file");
  });

  it("lets in who brings the token, and tells its health to everybody", async () => {
    const tokenFile = `${folder.path}/token`;
    await writeFile(tokenFile, "secret-token\nnot this\n");
    const server = await startServerProcess([...data, "--token-file", tokenFile]);
    const ask = (authorization?: string, path = "/v1/topics") =>
      call(
        server.url,
        "GET",
        path,
        authorization === undefined ? {} : { headers: { authorization } },
      );
    for (const given of [
      undefined,
      "Bearer wrong",
      "Bearer secret-tokem",
      "secret-token",
      "Bearer ",
    ]) {
      const refused = await ask(given);
      expect(refused, given).toMatchObject({ status: 401, json: { code: "unauthenticated" } });
      expect(refused.headers.get("www-authenticate")).toBe("Bearer");
    }
    expect((await ask("Bearer secret-token")).status).toBe(200);
    expect((await ask(undefined, "/v1/health")).status).toBe(200);
    expect((await ask(undefined, "/openapi.json")).status).toBe(200);
    await server.stop();
  });

  it("answers preflights of the origin that may call, and no others", async () => {
    const origin = "https://app.example.com";
    const open = await startServerProcess([...data, "--cors-origin", origin]);
    const preflight = await call(open.url, "OPTIONS", "/v1/topics/orders");
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-origin")).toBe(origin);
    expect(preflight.headers.get("access-control-allow-methods")).toContain("PATCH");
    expect(preflight.headers.get("access-control-allow-headers")).toContain("content-type");
    const answer = await call(open.url, "GET", "/v1/health");
    expect(answer.headers.get("access-control-allow-origin")).toBe(origin);
    await open.stop();
    const closed = await startServerProcess(data);
    const refused = await call(closed.url, "OPTIONS", "/v1/topics/orders");
    expect(refused.status).toBe(405);
    expect(refused.headers.get("access-control-allow-origin")).toBeNull();
    await closed.stop();
  });

  it("answers only to names of its own", async () => {
    const server = await startServerProcess([...data, "--allowed-host", "broker.test"]);
    const { port } = new URL(server.url);
    const answerFor = (host: string) =>
      new Promise<IncomingMessage>((resolve, reject) => {
        const headers = { host, "x-request-id": "mine" };
        request({ port, host: "127.0.0.1", path: "/v1/health", headers }, (response) => {
          response.resume().on("end", () => resolve(response));
        })
          .on("error", reject)
          .end();
      });
    for (const host of [
      "localhost",
      "127.0.0.1:1",
      "[::1]:1290",
      "broker.test",
      "BROKER.test:80",
    ]) {
      expect((await answerFor(host)).statusCode, host).toBe(200);
    }
    for (const host of ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"]) {
      const { statusCode, headers } = await answerFor(host);
      expect(statusCode, host).toBe(421);
      expect(headers).toMatchObject({
        "x-request-id": "mine",
        "x-broker-time": expect.stringMatching(/^\d{13}$/),
        "x-tasso-units": "w=0 r=0 put=0 get=0 calls=0",
      });
    }
    await server.stop();
  });
});
