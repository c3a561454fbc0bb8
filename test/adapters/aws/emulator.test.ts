import { randomUUID } from "node:crypto";
import { CreateTableCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { afterAll, describe } from "vitest";
import { DynamoStore } from "../../../src/adapters/aws/dynamo-store.ts";
import { runStoreContract } from "../../contract/store.contract.ts";
import { startEmulator } from "../../support/emulator.ts";
import { patientClock } from "./patient-clock.ts";

const emulator = await startEmulator();
const missing = typeof emulator === "string" ? emulator : undefined;
const endpoint = typeof emulator === "string" ? "" : emulator.endpoint;
const client = {
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
};

afterAll(async () => {
  if (typeof emulator !== "string") await emulator.stop();
});

describe.skipIf(missing)(`DynamoStore on the emulator${missing ? ` (${missing})` : ""}`, () => {
  const tables = new DynamoDBClient(client);
  afterAll(() => tables.destroy());

  runStoreContract({
    async create(clock) {
      const table = `table-${randomUUID()}`;
      await tables.send(
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
  });
});
