import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fuzzBatches, fuzzJson, prepareFuzz, type Tally } from "../support/fuzzers.ts";
import { type Answer, call } from "../support/http-client.ts";
import { rangesOf, readEverything } from "../support/stored.ts";
import { memoryTarget, type RunningTarget } from "../support/targets.ts";
import { type BadRequest, badRequests } from "./bad-requests.ts";

const seed = 20_261_122;

describe("a bad request", () => {
  let server: RunningTarget;
  let before: unknown;
  const counts = new Map<string, number>();

  beforeAll(async () => {
    server = await memoryTarget.start();
    const { url } = server;
    await call(url, "PUT", "/v1/topics/orders", { json: { queues: 4 } });
    for (const type of ["FIFO", "NORMAL", "DELAY"])
      await call(url, "PUT", `/v1/topics/${type.toLowerCase()}`, { json: { queues: 1, type } });
    const messages = [0, 1, 2, 3].map((queue) => ({ body: "x", queue }));
    await call(url, "POST", "/v1/topics/orders/messages", { json: { messages } });
    await call(url, "PUT", "/v1/groups/g/offsets/orders", { json: { offsets: { 0: 1 } } });
    before = await everything(url);
  });

  afterAll(async () => {
    const table = [...counts].sort().map(([code, count]) => `${count} ${code}`);
    process.stdout.write(`${badRequests.length} bad requests refused: ${table.join(", ")}\n`);
    await server.stop();
  });

  it.each(badRequests)("is refused and changes nothing: $name", async (bad) => {
    const answer = await call(server.url, bad.method, bad.path, bad.options);
    expectRefused(answer, bad);
    counts.set(bad.code, (counts.get(bad.code) ?? 0) + 1);
    expect(await everything(server.url)).toEqual(before);
  });

  it("stands in the table at least 60 times", () => {
    expect(badRequests.length).toBeGreaterThanOrEqual(60);
    expect(new Set(badRequests.map(({ name }) => name)).size).toBe(badRequests.length);
  });
});

describe("requests that were changed at random", () => {
  let server: RunningTarget;
  beforeAll(async () => {
    server = await memoryTarget.start();
    await prepareFuzz(server.url);
  });
  afterAll(() => server.stop());

  it(`are answered below 500 as JSON, and what they stored can be read (seed ${seed})`, async () => {
    const tally = await fuzzJson({ url: server.url, seed, runs: 1_000 });
    tell("JSON", tally, await readEverything(server.url));
    expect(tally.get(200)).toBeGreaterThan(0);
    expect(tally.get(422)).toBeGreaterThan(0);
  });

  it(`are answered below 500 as batches, and what they stored can be read (seed ${seed})`, async () => {
    const tally = await fuzzBatches({ url: server.url, seed, runs: 1_500 });
    tell("batches", tally, await readEverything(server.url));
    expect(tally.get(200)).toBeGreaterThan(0);
    expect(tally.get(422)).toBeGreaterThan(0);
  });
});

function expectRefused({ status, json, headers }: Answer, bad: BadRequest): void {
  expect({ status, code: json.code }).toEqual({ status: bad.status, code: bad.code });
  if (bad.field instanceof RegExp) expect(json.details.field).toMatch(bad.field);
  else expect(json.details.field).toBe(bad.field);
  expect(json.message).not.toBe("");
  expect(headers.get("x-request-id")).toBe(json.requestId);
  if (status === 413) {
    expect(json.details.actual).toBeGreaterThan(json.details.limit);
    return;
  }
  expect(json.details.allowed).toBeDefined();
  expect(json.details.allowed.length).toBeGreaterThan(0);
}

async function everything(url: string): Promise<unknown> {
  const offsets = await call(url, "GET", "/v1/groups/g/offsets/orders");
  const delayed = await call(url, "GET", "/v1/delayed");
  const transactions = await call(url, "GET", "/v1/transactions");
  return {
    ranges: await rangesOf(url),
    offsets: offsets.json,
    delayed: delayed.json,
    transactions: transactions.json,
  };
}

function tell(kind: string, tally: Tally, messages: number): void {
  const answers = [...tally].sort().map(([status, count]) => `${count} x ${status}`);
  process.stdout.write(`fuzzed ${kind}: ${answers.join(", ")}; ${messages} messages read\n`);
}
