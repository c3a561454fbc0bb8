import { createHmac } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { makeTemporaryFolder } from "../adapters/local/temporary-folder.ts";
import { call } from "../support/http-client.ts";
import { type ServerProcess, startServerProcess } from "../support/server-process.ts";
import {
  answerJson,
  type ReceivedWebhook,
  startWebhookServer,
  type WebhookServer,
  webhookCertificateFile,
} from "../support/webhook-server.ts";

describe("the local server", () => {
  let folder: Awaited<ReturnType<typeof makeTemporaryFolder>>;
  let server: ServerProcess;
  let webhook: WebhookServer;
  let inner: WebhookServer;
  /** By transaction: what it is answered, one after the other. */
  const answers = new Map<string, ("redirect" | "huge" | "commit" | "rollback")[]>();

  beforeAll(async () => {
    vi.stubEnv("NODE_EXTRA_CA_CERTS", webhookCertificateFile);
    folder = await makeTemporaryFolder();
    inner = await startWebhookServer((_, response) => answerJson(response, { outcome: "commit" }));
    webhook = await startWebhookServer((received, response) => {
      const answer = answers.get(transactionOf(received))?.shift();
      if (answer === "redirect") {
        response.writeHead(302, { location: `https://127.0.0.1:${inner.port}/` });
        response.end();
      } else if (answer === "huge")
        answerJson(response, { outcome: "commit", rest: "x".repeat(70_000) });
      else answerJson(response, { outcome: answer });
    });
    server = await startServerProcess([
      ...["--data", folder.path],
      ...["--allow-webhook-to", "127.0.0.1"],
    ]);
  }, 60_000);
  afterAll(async () => {
    vi.unstubAllEnvs();
    await server.stop();
    await webhook.close();
    await inner.close();
    await folder.remove();
  });

  const ask = async (method: string, path: string, json?: object) => {
    const answer = await call(server.url, method, path, json === undefined ? {} : { json });
    expect(answer.status, JSON.stringify(answer.json)).toBe(200);
    return answer.json;
  };

  it("has transactions settled by a webhook over TLS, signed, and follows it nowhere", {
    timeout: 60_000,
  }, async () => {
    await call(server.url, "PUT", "/v1/topics/orders", { json: { queues: 1 } });
    const { checkSecret } = await ask("PUT", "/v1/producer-groups/shop", {
      checkUrl: `https://127.0.0.1:${webhook.port}/checks`,
      checkEveryMs: 1_000,
    });
    const prepare = async (body: string): Promise<string> => {
      const half = { message: { body }, producerGroup: "shop", checkAfterMs: 1_000 };
      return (await ask("POST", "/v1/topics/orders/transactions", half)).transactionId;
    };
    const bought = await prepare("bought");
    answers.set(bought, ["redirect", "huge", "commit"]);
    const cancelled = await prepare("cancelled");
    answers.set(cancelled, ["rollback"]);
    const stateOf = async (id: string) => (await ask("GET", `/v1/transactions/${id}`)).state;
    while ((await stateOf(bought)) === "PREPARED" || (await stateOf(cancelled)) === "PREPARED")
      await new Promise((resolve) => setTimeout(resolve, 50));
    expect([await stateOf(bought), await stateOf(cancelled)]).toEqual(["COMMITTED", "ROLLED_BACK"]);
    const { messages } = await ask("GET", "/v1/topics/orders/queues/0/messages?offset=0");
    expect(messages).toMatchObject([{ body: "bought" }]);

    expect(inner.received).toEqual([]);
    const asked = webhook.received.filter((each) => transactionOf(each) === bought);
    expect(asked.map(({ body }) => JSON.parse(body.toString()))).toMatchObject(
      [1, 2, 3].map((check) => ({ topic: "orders", check, message: { body: "bought", queue: 0 } })),
    );
    for (const { headers, body } of webhook.received) {
      const key = Buffer.from(checkSecret.replace("whsec_", ""), "base64");
      const { "webhook-id": id, "webhook-timestamp": timestamp } = headers;
      const hmac = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body);
      expect(headers["webhook-signature"]).toBe(`v1,${hmac.digest("base64")}`);
      expect(headers["content-type"]).toBe("application/json");
    }
  });

  it("takes no checkUrl of this machine that it was not told of", async () => {
    for (const checkUrl of ["https://127.0.0.2/", `https://localhost:${webhook.port}/`]) {
      const path = "/v1/producer-groups/others";
      const refused = await call(server.url, "PUT", path, { json: { checkUrl } });
      expect(refused).toMatchObject({
        status: 422,
        json: { code: "invalid", details: { field: "checkUrl", given: checkUrl } },
      });
    }
  });
});

function transactionOf({ body }: ReceivedWebhook): string {
  return JSON.parse(body.toString()).transactionId;
}
