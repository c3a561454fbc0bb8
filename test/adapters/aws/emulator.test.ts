import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { crc32 } from "node:zlib";
import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { CreateFunctionCommand, LambdaClient } from "@aws-sdk/client-lambda";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import {
  CreateScheduleGroupCommand,
  ListSchedulesCommand,
  SchedulerClient,
} from "@aws-sdk/client-scheduler";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AlarmRinger } from "../../../src/adapters/aws/alarm-ringer.ts";
import { DynamoStore } from "../../../src/adapters/aws/dynamo-store.ts";
import { S3Blobs } from "../../../src/adapters/aws/s3-blobs.ts";
import { SchedulerAlarm } from "../../../src/adapters/aws/scheduler-alarm.ts";
import { isWaking } from "../../../src/adapters/aws/wakings.ts";
import { SystemClock } from "../../../src/adapters/local/system-clock.ts";
import { SystemRandom } from "../../../src/adapters/local/system-random.ts";
import { runBlobsContract } from "../../contract/blobs.contract.ts";
import { runStoreContract } from "../../contract/store.contract.ts";
import { startEmulator } from "../../support/emulator.ts";
import { patientClock } from "./patient-clock.ts";
import { names } from "./stub/stubbed-alarm.ts";

const emulator = await startEmulator();
const missing = typeof emulator === "string" ? emulator : undefined;
const endpoint = typeof emulator === "string" ? "http://127.0.0.1" : emulator.endpoint;
const client = {
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
};

describe.skipIf(missing)(`on the emulator${missing ? ` (${missing})` : ""}`, () => {
  const dynamo = new DynamoDBClient(client);
  const s3 = new S3Client(client);
  afterAll(async () => {
    dynamo.destroy();
    s3.destroy();
    if (typeof emulator !== "string") await emulator.stop();
  });

  describe("DynamoStore", () => {
    runStoreContract({
      async create(clock) {
        const table = await makeTable(dynamo);
        const options = { table, clock: patientClock(clock), client };
        const store = new DynamoStore(options);
        const other = new DynamoStore(options);
        return {
          store,
          other,
          async close() {
            store.close();
            other.close();
          },
        };
      },
      skip: [
        {
          reason: "it counts a transaction in base64 and so takes 3 MB; AWS takes 4",
          cases: ["law 6: a commit of just that size is applied"],
        },
      ],
    });
  });

  describe("S3Blobs", () => {
    runBlobsContract({
      async create() {
        const bucket = `bucket-${randomUUID()}`;
        await s3.send(new CreateBucketCommand({ Bucket: bucket }));
        const options = { bucket, clock: new SystemClock(), client };
        const blobs = new S3Blobs(options);
        const other = new S3Blobs(options);
        return {
          blobs,
          other,
          async close() {
            blobs.close();
            other.close();
          },
        };
      },
    });
  });

  // Its contract needs simulated time and so runs on the stub: the emulator fires by the real clock, within 10 s.
  describe("SchedulerAlarm", () => {
    const clock = new SystemClock();
    const random = new SystemRandom();
    const rung: { id: string; at: number }[] = [];
    const ring = async (id: string) => void rung.push({ id, at: clock.now() });
    const schedules = new SchedulerClient(client);
    // The emulator runs the function, which hands the event to this process.
    const ear = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      response.end();
      const event: unknown = JSON.parse(Buffer.concat(chunks).toString());
      if (isWaking(event)) await ringer?.wake(event);
    });
    let onAlarmArn = "";
    let table = "";
    let store: DynamoStore | undefined;
    let ringer: AlarmRinger | undefined;

    beforeAll(async () => {
      table = await makeTable(dynamo);
      store = new DynamoStore({ table, clock, client });
      ringer = new AlarmRinger({ store, clock, random, ring });
      ear.listen(0, "127.0.0.1");
      await once(ear, "listening");
      const address = ear.address();
      if (address === null || typeof address === "string") throw new Error("the ear has no port");
      onAlarmArn = await makeFunction(`http://127.0.0.1:${address.port}`);
      await schedules.send(new CreateScheduleGroupCommand({ Name: names.scheduleGroup }));
    });
    afterAll(async () => {
      schedules.destroy();
      store?.close();
      ear.closeAllConnections();
      ear.close();
    });

    /** An alarm of a process whose clock is behind. */
    const alarmBehind = (behindMs: number) => {
      const behind = patientClock({ now: () => clock.now() - behindMs, sleep: clock.sleep });
      const others = new DynamoStore({ table, clock: behind, client });
      const options = { ...names, onAlarmArn, store: others, clock: behind, random, client };
      const alarm = new SchedulerAlarm({ ...options, lambdaEndpoint: endpoint });
      const close = () => {
        alarm.close();
        others.close();
      };
      return { alarm, close };
    };
    const until = async (holds: () => boolean | Promise<boolean>) => {
      while (!(await holds())) await clock.sleep(100);
    };

    it("rings a near alarm by a call, to the millisecond", async () => {
      const { alarm, close } = alarmBehind(0);
      const at = clock.now() + 1_500;
      await alarm.set("near", at);
      await until(() => rung.some(({ id }) => id === "near"));
      const [ringAt] = rung.filter(({ id }) => id === "near");
      expect(ringAt?.at).toBeGreaterThanOrEqual(at);
      expect(ringAt?.at).toBeLessThan(at + 1_000);
      close();
    });

    it("rings a far alarm by a schedule, which is gone then, and none that is cancelled", async () => {
      // By four minutes: its schedules are due at once.
      const behindMs = 240_000;
      const { alarm, close } = alarmBehind(behindMs);
      const at = clock.now() - behindMs + 126_000;
      await alarm.set("far", at);
      await alarm.set("far", at);
      await alarm.set("cancelled", at);
      await alarm.cancel("cancelled");
      const { Schedules } = await schedules.send(new ListSchedulesCommand({}));
      expect(Schedules?.map(({ Name }) => Name?.replace(/-\d+$/, "")).sort()).toEqual([
        "cancelled",
        "far",
      ]);
      await until(() => rung.some(({ id }) => id === "far"));
      await until(async () => {
        const left = await schedules.send(new ListSchedulesCommand({}));
        return left.Schedules?.length === 0;
      });
      expect(rung.map(({ id }) => id)).not.toContain("cancelled");
      close();
    });
  });
});

async function makeTable(dynamo: DynamoDBClient): Promise<string> {
  const table = `table-${randomUUID()}`;
  await dynamo.send(
    new CreateTableCommand({
      TableName: table,
      BillingMode: "PAY_PER_REQUEST",
      AttributeDefinitions: [
        { AttributeName: "p", AttributeType: "B" },
        { AttributeName: "s", AttributeType: "B" },
      ],
      KeySchema: [
        { AttributeName: "p", KeyType: "HASH" },
        { AttributeName: "s", KeyType: "RANGE" },
      ],
    }),
  );
  return table;
}

/** A function that posts every event to a URL; answers its ARN. */
async function makeFunction(url: string): Promise<string> {
  const lambda = new LambdaClient(client);
  const body = "JSON.stringify(event)";
  const code = `exports.handler = async (event) => { await fetch("${url}", { method: "POST", body: ${body} }); };`;
  const { FunctionArn = "" } = await lambda.send(
    new CreateFunctionCommand({
      FunctionName: "on-alarm",
      Runtime: "nodejs24.x",
      Handler: "index.handler",
      Role: names.schedulerRoleArn,
      Timeout: 300,
      Code: { ZipFile: zipped("index.js", Buffer.from(code)) },
    }),
  );
  lambda.destroy();
  return FunctionArn;
}

/** A zip archive with one file, stored as it is. */
function zipped(name: string, content: Buffer): Buffer {
  const fields = Buffer.alloc(26);
  fields.writeUInt16LE(20, 0);
  fields.writeUInt32LE(crc32(content), 10);
  fields.writeUInt32LE(content.length, 14);
  fields.writeUInt32LE(content.length, 18);
  fields.writeUInt16LE(name.length, 22);
  const local = Buffer.concat([Buffer.from("PK\x03\x04"), fields, Buffer.from(name), content]);
  const madeBy = Buffer.from([20, 0]);
  const place = Buffer.alloc(14);
  const central = Buffer.concat([
    Buffer.from("PK\x01\x02"),
    madeBy,
    fields,
    place,
    Buffer.from(name),
  ]);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(local.length, 16);
  return Buffer.concat([local, central, end]);
}
