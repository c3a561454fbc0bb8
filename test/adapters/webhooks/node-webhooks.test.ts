import { afterEach, describe, expect, it } from "vitest";
import { NodeWebhooks } from "../../../src/adapters/webhooks/node-webhooks.ts";
import { Unavailable } from "../../../src/broker/ports/failures.ts";
import { refusalOf } from "../../support/code-of.ts";
import {
  answerJson,
  startWebhookServer,
  type WebhookServer,
  webhookCertificate,
} from "../../support/webhook-server.ts";

const body = Buffer.from("{}");
const limits = { timeoutMs: 5_000, answerBytesMax: 1_000 };

describe("a webhook that is called", () => {
  const servers: WebhookServer[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) await server.close();
  });

  async function start(...answer: Parameters<typeof startWebhookServer>): Promise<WebhookServer> {
    const server = await startWebhookServer(...answer);
    servers.push(server);
    return server;
  }

  /** `hooks.example.com` leads here, its addresses from one answer of the resolver to the next. */
  function webhooks(allow: readonly string[], ...answers: (readonly string[])[]) {
    const asked: string[] = [];
    const resolve = async (host: string) => {
      asked.push(host);
      return answers[asked.length - 1] ?? [];
    };
    return { asked, webhooks: new NodeWebhooks({ allow, ca: webhookCertificate, resolve }) };
  }

  it("gets what is sent, under its own name, at the address that was judged", async () => {
    const server = await start((_, response) => answerJson(response, { outcome: "commit" }));
    const { asked, webhooks: called } = webhooks(["127.0.0.1"], ["127.0.0.1"]);
    // No such port may be called by a name that is not allowed, so the name leads to the allowed address on any port.
    const allowed = new NodeWebhooks({
      allow: ["hooks.example.com"],
      ca: webhookCertificate,
      resolve: async (host) => {
        asked.push(host);
        return ["127.0.0.1"];
      },
    });
    const url = `https://hooks.example.com:${server.port}/checks?a=1`;
    const headers = { "content-type": "application/json", "webhook-id": "w1" };
    const answer = await allowed.post(url, headers, body, limits);
    expect(answer.status).toBe(200);
    expect(Buffer.from(answer.body ?? []).toString()).toBe('{"outcome":"commit"}');
    expect(asked).toEqual(["hooks.example.com"]);
    expect(server.received).toMatchObject([
      {
        path: "/checks?a=1",
        servername: "hooks.example.com",
        headers: {
          host: `hooks.example.com:${server.port}`,
          "webhook-id": "w1",
          "content-length": "2",
        },
      },
    ]);
    expect(await refusalOf(called.post(url, {}, body, limits))).toMatchObject({
      code: "invalid",
      field: "checkUrl",
    });
  });

  it("is not called where its name leads elsewhere by the next call, and never by a second look", async () => {
    const { asked, webhooks: called } = webhooks([], ["8.8.8.8", "127.0.0.1"], ["10.0.0.1"]);
    for (let again = 1; again <= 2; again++) {
      const call = called.post("https://hooks.example.com/", {}, body, limits);
      expect(await refusalOf(call)).toMatchObject({ code: "invalid", field: "checkUrl" });
      expect(asked).toHaveLength(again);
    }
  });

  it("is connected to without another look at its name, whatever that would answer", async () => {
    const server = await start((_, response) => answerJson(response, {}));
    const asked: string[] = [];
    const rebinding = new NodeWebhooks({
      allow: ["hooks.example.com"],
      ca: webhookCertificate,
      // By the second look nobody would listen there.
      resolve: async (host) => {
        asked.push(host);
        return [asked.length === 1 ? "127.0.0.1" : "127.0.0.2"];
      },
    });
    const url = `https://hooks.example.com:${server.port}/`;
    expect((await rebinding.post(url, {}, body, limits)).status).toBe(200);
    expect(asked).toHaveLength(1);
    // Each call is a connection of its own, to what was judged for it.
    await expect(rebinding.post(url, {}, body, limits)).rejects.toThrow(Unavailable);
    expect(asked).toHaveLength(2);
    expect(server.received).toHaveLength(1);
  });

  it("is not followed when it redirects", async () => {
    const inner = await start((_, response) => answerJson(response, { outcome: "commit" }));
    const server = await start((_, response) => {
      response.writeHead(307, { location: `https://127.0.0.1:${inner.port}/` });
      response.end();
    });
    const called = new NodeWebhooks({ allow: ["127.0.0.1"], ca: webhookCertificate });
    const answer = await called.post(`https://127.0.0.1:${server.port}/`, {}, body, limits);
    expect(answer.status).toBe(307);
    expect(inner.received).toEqual([]);
  });

  it("is cut off when it answers slowly, drips, or does not answer", async () => {
    const called = new NodeWebhooks({ allow: ["127.0.0.1"], ca: webhookCertificate });
    const drips = await start((_, response) => {
      const drip = setInterval(() => response.write(" "), 20);
      response.on("close", () => clearInterval(drip));
    });
    const mute = await start(() => {});
    for (const { port } of [drips, mute]) {
      const call = called.post(`https://127.0.0.1:${port}/`, {}, body, {
        timeoutMs: 300,
        answerBytesMax: 1_000_000,
      });
      await expect(call).rejects.toThrow(Unavailable);
    }
    const unresolved = new NodeWebhooks({ resolve: () => new Promise(() => {}) });
    const call = unresolved.post("https://hooks.example.com/", {}, body, {
      ...limits,
      timeoutMs: 50,
    });
    await expect(call).rejects.toThrow(Unavailable);
  });

  it("is cut off when it answers too much", async () => {
    let isCut = false;
    const server = await start((_, response) => {
      const pour = setInterval(() => response.write("x".repeat(500)), 1);
      response.on("close", () => {
        isCut = true;
        clearInterval(pour);
      });
    });
    const called = new NodeWebhooks({ allow: ["127.0.0.1"], ca: webhookCertificate });
    const answer = await called.post(`https://127.0.0.1:${server.port}/`, {}, body, limits);
    expect(answer).toEqual({ status: 200, body: undefined });
    while (!isCut) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it("has to have a certificate of its name that is trusted", async () => {
    const server = await start((_, response) => answerJson(response, {}));
    const untrusting = new NodeWebhooks({ allow: ["127.0.0.1"] });
    const url = `https://127.0.0.1:${server.port}/`;
    await expect(untrusting.post(url, {}, body, limits)).rejects.toThrow(Unavailable);
    const other = new NodeWebhooks({
      allow: ["other.example.com"],
      ca: webhookCertificate,
      resolve: async () => ["127.0.0.1"],
    });
    const named = `https://other.example.com:${server.port}/`;
    await expect(other.post(named, {}, body, limits)).rejects.toThrow(Unavailable);
    expect(server.received).toEqual([]);
  });
});
