import {
  Broker,
  BrokerError,
  forward,
  ownKey,
  ownPartition,
  type Ports,
  receiptHandleOf,
  sendMessages,
  sendWithRows,
} from "tasso/broker";
import {
  FileBlobs,
  LmdbStore,
  NodeCompression,
  NodeWebhooks,
  SystemClock,
  SystemRandom,
} from "tasso/local";
import { describe, expect, it } from "vitest";
import { makeTemporaryFolder } from "./adapters/local/temporary-folder.ts";

describe("a program that embeds the broker", () => {
  it("stores rows of its own with what it sends and with what it acknowledges", async () => {
    const folder = await makeTemporaryFolder();
    const clock = new SystemClock();
    const store = await LmdbStore.open({ path: `${folder.path}/store.mdb`, clock });
    const io: Ports = {
      store,
      blobs: await FileBlobs.open({ folder: `${folder.path}/blobs`, clock }),
      alarm: { set: async () => undefined, cancel: async () => undefined },
      clock,
      random: new SystemRandom(),
      compression: new NodeCompression(),
      webhooks: new NodeWebhooks(),
    };
    const broker = new Broker(io);
    await broker.topics.ensure(io, "orders", { queues: 1 });
    const row = (id: string) => ({
      kind: "put" as const,
      key: ownKey("orders", Buffer.from(id)),
      value: Buffer.from("paid"),
      expect: "absent" as const,
    });
    const message = { body: Buffer.from("paid") };
    await sendWithRows(io, broker, { topic: "orders", message, rows: [row("1")] });
    const { messages } = await broker.receiving.receive(io, {
      ...{ group: "billing", topic: "orders", max: 1, bytesMax: 1_000 },
      ...{ invisibleMs: 30_000, waitMs: 0 },
    });
    const handles = messages.map(({ receipt }) => receiptHandleOf(receipt));
    const taken = forward(io, broker, { group: "billing", handles, sends: [], rows: [row("1")] });
    await expect(taken).rejects.toThrow(BrokerError);
    const rows = [row("2")];
    expect(await forward(io, broker, { group: "billing", handles, sends: [], rows })).toEqual([]);
    const range = { partition: ownPartition("orders"), limit: 10 };
    expect((await store.scan(range)).items).toHaveLength(2);
    const [result] = await sendMessages(io, broker, { topic: "orders", messages: [message] });
    expect(result).toMatchObject({ offset: 1 });
    await store.close();
    await folder.remove();
  });

  it("finds the ports over AWS apart from the others", async () => {
    expect(Object.keys(await import("tasso/aws"))).toEqual(
      expect.arrayContaining(["DynamoStore", "S3Blobs", "SchedulerAlarm"]),
    );
    expect(Object.keys(await import("tasso/broker"))).not.toContain("DynamoStore");
  });
});
