import { describe, expect, it } from "vitest";
import { usageOfCall } from "../../functions/usage-of-call.ts";
import { ManualClock } from "../../src/adapters/memory/manual-clock.ts";
import { createHttpApi, type HttpRequest } from "../../src/api/http.ts";
import { operations } from "../../src/api/operations.ts";
import { Broker } from "../../src/broker/broker.ts";
import { batchOf } from "../support/batches.ts";
import { batchesType, batchType } from "../support/http-client.ts";
import { memoryPorts } from "../support/memory-ports.ts";

const broker = new Broker(memoryPorts(new ManualClock()));
const api = createHttpApi({ broker, operations, onError: () => {} });

async function usageOf(
  method: string,
  url: string,
  {
    json,
    body,
    headers = {},
  }: { json?: object; body?: Uint8Array; headers?: Record<string, string> } = {},
) {
  const [path = "", query = ""] = url.split("?");
  const type: Record<string, string> =
    json === undefined ? {} : { "content-type": "application/json" };
  const all = { ...type, ...headers };
  const request: HttpRequest = {
    method,
    path,
    query: new URLSearchParams(query),
    header: (name) => all[name],
    body: body ?? (json === undefined ? new Uint8Array() : Buffer.from(JSON.stringify(json))),
  };
  return usageOfCall(request, await api(request));
}

describe("what a call moved and cost", () => {
  const topic = "/v1/topics/orders";
  const messages = [{ body: "a" }, { body: "b" }];

  it("is told of sends and pulls of either form, and of what failed", async () => {
    await usageOf("PUT", topic, { json: { queues: 1 } });
    // The first send opens a segment, which costs more.
    await usageOf("POST", `${topic}/messages`, { json: { messages: [{ body: "0" }] } });
    expect(await usageOf("POST", `${topic}/messages`, { json: { messages } })).toMatchObject({
      messages: 2,
      writeUnits: 1,
      failures: 0,
    });
    const batch = batchOf([{ body: Buffer.from("c") }]);
    const binary = { body: batch, headers: { "content-type": batchType } };
    expect(await usageOf("POST", `${topic}/messages`, binary)).toMatchObject({ messages: 1 });
    const pull = `${topic}/queues/0/messages?offset=2`;
    const pulled = await usageOf("GET", pull);
    expect(pulled).toMatchObject({ messages: 2, writeUnits: 0 });
    expect(pulled.readUnits).toBeGreaterThan(0);
    expect(pulled.bytes).toBeGreaterThan(0);
    const accept = { headers: { accept: batchesType } };
    expect(await usageOf("GET", pull, accept)).toMatchObject({ messages: 2 });
    expect(await usageOf("GET", `${topic}/queues/0/messages?offset=4`)).toMatchObject({
      messages: 0,
    });
    expect(await usageOf("GET", `${topic}/queues/0/messages?offset=5`)).toMatchObject({
      messages: 0,
      failures: 0,
    });
    expect(await usageOf("GET", topic)).toMatchObject({ messages: 0 });
  });

  it("counts entries of a send that were accepted, and answers that are our fault", () => {
    const request = {
      method: "POST",
      path: "/v1/topics/a/messages",
      query: new URLSearchParams(),
      header: () => undefined,
      body: new Uint8Array(10),
    };
    const headers = { "x-tasso-units": "w=3 r=0.5 put=0 get=0" };
    const body = JSON.stringify({
      results: [{ status: "SEND_OK" }, { error: { code: "contention" } }],
    });
    expect(usageOfCall(request, { status: 200, headers, body })).toEqual({
      messages: 1,
      bytes: 10 + body.length,
      writeUnits: 3,
      readUnits: 0.5,
      failures: 0,
    });
    expect(usageOfCall(request, { status: 503, headers, body })).toMatchObject({
      messages: 0,
      failures: 1,
    });
  });
});
