import { DynamoStore } from "../src/adapters/aws/dynamo-store.ts";
import { NodeCompression } from "../src/adapters/local/node-compression.ts";
import { SystemClock } from "../src/adapters/local/system-clock.ts";
import { SystemRandom } from "../src/adapters/local/system-random.ts";
import { createHttpApi } from "../src/api/http.ts";
import { Unavailable } from "../src/broker/ports/failures.ts";
import { nameServerOperations } from "../src/nameserver/operations.ts";
import { Registry } from "../src/nameserver/registry.ts";
import { answering } from "./answering.ts";
import { logError } from "./log.ts";
import { noWebhooks } from "./no-webhooks.ts";
import { readNameServerSettings } from "./settings.ts";

const name = "name-server";
const { table, service } = readNameServerSettings();
const clock = new SystemClock();
const none = async (): Promise<never> => {
  throw new Unavailable("a name server has a store and nothing else");
};

/** A name server whose rows outlive it. Who may call which route is decided in front of it. */
export const handler = answering(
  createHttpApi({
    broker: new Registry({
      store: new DynamoStore({ table, clock }),
      blobs: { put: none, get: none, delete: none, list: none },
      alarm: { set: none, cancel: none },
      clock,
      random: new SystemRandom(),
      compression: new NodeCompression(),
      webhooks: noWebhooks,
    }),
    operations: nameServerOperations,
    onError: (error, requestId) => logError(error, { function: name, requestId }),
  }),
  { service, function: name },
);
