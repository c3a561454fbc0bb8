import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DynamoStore } from "../../../src/adapters/aws/dynamo-store.ts";
import { S3Blobs } from "../../../src/adapters/aws/s3-blobs.ts";
import { SystemClock } from "../../../src/adapters/local/system-clock.ts";
import { SystemRandom } from "../../../src/adapters/local/system-random.ts";
import { operations } from "../../../src/api/operations.ts";
import { Broker } from "../../../src/broker/broker.ts";
import { type RunningServer, startServer } from "../../../src/local/server.ts";
import { call } from "../../support/http-client.ts";
import { memoryPorts } from "../../support/memory-ports.ts";
import { AwsStub } from "./stub/aws-stub.ts";

/*
 * What operations cost on DynamoDB: the requests that reach it, and the units by its published rules and the weight of
 * what really lies there. The stub counts them, and knows nothing of what the broker believes.
 */
describe("operations over DynamoDB", () => {
  let stub: AwsStub;
  let store: DynamoStore;
  let blobs: S3Blobs;
  let server: RunningServer;

  beforeEach(async () => {
    const clock = new SystemClock();
    stub = await AwsStub.start(clock);
    store = new DynamoStore({ table: "table", clock, client: stub.client });
    blobs = new S3Blobs({ bucket: "bucket", clock, client: stub.client });
    const ports = { ...memoryPorts(clock), store, blobs, random: new SystemRandom() };
    server = await startServer({
      host: "127.0.0.1",
      port: 0,
      allowedHosts: [],
      corsOrigin: undefined,
      broker: new Broker(ports),
      operations,
      onError: () => {},
    });
    await call(server.url, "PUT", path, { json: { queues: 1 } });
    // So that the broker has met the topic and the tail.
    await send("x");
  });
  afterEach(async () => {
    await server.close();
    store.close();
    blobs.close();
    await stub.stop();
  });

  const path = `/v1/topics/${"t".repeat(16)}`;
  const send = (body: string) =>
    call(server.url, "POST", `${path}/messages`, { json: { messages: [{ body }] } });

  /** What a call asked of DynamoDB and cost there, and what the broker told the caller that it cost. */
  const costOf = async (run: () => ReturnType<typeof call>) => {
    const { dynamo, requests } = stub;
    const before = { written: dynamo.writeUnits, read: dynamo.readUnits, asked: requests.length };
    const { status, headers } = await run();
    expect(status).toBeLessThan(300);
    return {
      requests: requests.slice(before.asked),
      writeUnits: dynamo.writeUnits - before.written,
      readUnits: dynamo.readUnits - before.read,
      told: headers.get("x-tasso-units"),
    };
  };

  it("a send with a body of 900 bytes is one write of one unit", async () => {
    const cost = await costOf(() => send("x".repeat(900)));
    expect(cost).toMatchObject({ requests: ["PutItem"], writeUnits: 1, readUnits: 0 });
    const largest = Math.max(...stub.dynamo.sizes());
    expect(largest).toBeLessThanOrEqual(1_024);
  });

  it("a pull at the tail is one query", async () => {
    const pull = `${path}/queues/0/messages`;
    await call(server.url, "GET", `${pull}?offset=0`);
    const cost = await costOf(() => call(server.url, "GET", `${pull}?offset=1`));
    expect(cost).toMatchObject({ requests: ["Query"], writeUnits: 0, readUnits: 1 });
  });

  it("a commit of an offset is one write, once the broker knows the row", async () => {
    const commit = (offset: number) =>
      call(server.url, "PUT", `/v1/groups/g/offsets/${"t".repeat(16)}`, {
        json: { offsets: { 0: offset } },
      });
    for (let i = 0; i < 3; i++) await send("x");
    await commit(1);
    const cost = await costOf(() => commit(2));
    expect(cost).toMatchObject({ requests: ["PutItem"], writeUnits: 1, readUnits: 0 });
  });

  it("the caller is told what was billed", async () => {
    const pull = `${path}/queues/0/messages?offset=0`;
    for (const run of [
      () => send("x".repeat(900)),
      () => send("x".repeat(920)),
      () => send("x".repeat(5_000)),
      () => call(server.url, "GET", pull),
      () => call(server.url, "GET", path),
      () => call(server.url, "PUT", `${path}-2`, { json: { queues: 8 } }),
    ]) {
      const { told, writeUnits, readUnits, requests } = await costOf(run);
      const units = `w=${writeUnits} r=${readUnits} put=0 get=0`;
      expect(told).toBe(`${units} calls=${requests.length}`);
    }
  });
});
