import { describe } from "vitest";
import { DynamoStore } from "../../../src/adapters/aws/dynamo-store.ts";
import { S3Blobs } from "../../../src/adapters/aws/s3-blobs.ts";
import { seededRandom } from "../../../src/adapters/faulty/faults.ts";
import { SystemClock } from "../../../src/adapters/local/system-clock.ts";
import type { ManualClock } from "../../../src/adapters/memory/manual-clock.ts";
import { type AlarmUnderTest, runAlarmContract } from "../../contract/alarm.contract.ts";
import { runBlobsContract } from "../../contract/blobs.contract.ts";
import { runStoreContract } from "../../contract/store.contract.ts";
import { patientClock } from "./patient-clock.ts";
import { AwsStub, type StubAnswer, type StubFault, type StubPlan } from "./stub/aws-stub.ts";
import { cancelled, dynamoError } from "./stub/dynamo-stub.ts";
import { s3Error } from "./stub/s3-stub.ts";
import { StubbedAlarm } from "./stub/stubbed-alarm.ts";

describe("DynamoStore on a calm stub", () => {
  runStoreContract({ create: (clock) => storeUnderTest(clock) });
});

describe("DynamoStore on a stub that throttles, breaks off and brings little", () => {
  let seed = 1;
  runStoreContract({
    create: (clock) =>
      storeUnderTest(clock, (stub) => {
        stub.plan = storeHazards(seededRandom(seed++));
        stub.dynamo.bringsItems = false;
        stub.dynamo.batchItemsMax = 40;
        stub.dynamo.pageBytesMax = 1_000;
      }),
  });
});

describe("S3Blobs on a calm stub", () => {
  runBlobsContract({ create: () => blobsUnderTest() });
});

describe("S3Blobs on a stub that slows down, breaks off and lists little", () => {
  let seed = 1;
  runBlobsContract({
    create: () =>
      blobsUnderTest((stub) => {
        stub.plan = blobHazards(seededRandom(seed++));
        stub.s3.listKeysMax = 2;
      }),
  });
});

describe("SchedulerAlarm on a stub", () => {
  runAlarmContract({
    async create(clock, ring) {
      const stubbed = await StubbedAlarm.start(clock, ring);
      const underTest = (): AlarmUnderTest => ({
        alarm: stubbed.alarm,
        async replace() {
          stubbed.replace();
          return underTest();
        },
        close: () => stubbed.stop(),
      });
      return underTest();
    },
  });
});

async function storeUnderTest(clock: ManualClock, prepare: (stub: AwsStub) => void = () => {}) {
  const stub = await AwsStub.start(clock);
  prepare(stub);
  const options = { table: "table", clock: patientClock(clock), client: stub.client };
  const store = new DynamoStore(options);
  const other = new DynamoStore(options);
  const close = async () => {
    store.close();
    other.close();
    await stub.stop();
  };
  return { store, other, close };
}

async function blobsUnderTest(prepare: (stub: AwsStub) => void = () => {}) {
  const clock = new SystemClock();
  const stub = await AwsStub.start(clock);
  prepare(stub);
  const options = { bucket: "bucket", clock, client: stub.client };
  const blobs = new S3Blobs(options);
  const other = new S3Blobs(options);
  const close = async () => {
    blobs.close();
    other.close();
    await stub.stop();
  };
  return { blobs, other, close };
}

const faultRate = 0.2;

/**
 * Faults that no caller may notice: what surely had no effect, answers that were lost where the version tells, and reads
 * that break off. A refusal whose answer is lost is not among them: it may be answered `unknown`.
 */
function storeHazards(draw: () => number): StubPlan {
  const throttled: StubAnswer[] = [
    dynamoError("ProvisionedThroughputExceededException", "too much"),
    dynamoError("ThrottlingException", "too much"),
    dynamoError("RequestLimitExceeded", "too much"),
  ];
  const conflict = dynamoError("TransactionConflictException", "busy");
  const cancelledByOthers = cancelled([{ Code: "TransactionConflict" }, { Code: "None" }]);
  const cancelledForLoad = cancelled([{ Code: "None" }, { Code: "ThrottlingError" }]);
  const readFaults: StubFault[] = [...throttled, "lose", "cut", "fail-after"];
  const faults: Record<string, StubFault[]> = {
    GetItem: readFaults,
    BatchGetItem: readFaults,
    Query: readFaults,
    PutItem: [...throttled, conflict],
    DeleteItem: [...throttled, conflict],
    TransactWriteItems: [...throttled, cancelledByOthers, cancelledForLoad],
  };
  // The first write of each case passes: one has no time for a second attempt.
  let writes = 0;
  return (operation) => {
    if (operation === "PutItem" && writes++ === 0) return undefined;
    return drawn(draw, faults[operation] ?? []);
  };
}

function blobHazards(draw: () => number): StubPlan {
  const slow = s3Error(503, "SlowDown");
  const readFaults: StubFault[] = [slow, s3Error(500, "InternalError"), "lose", "cut"];
  const faults: Record<string, StubFault[]> = {
    PutObject: [slow, s3Error(409, "ConditionalRequestConflict"), "swallow", "fail-after"],
    DeleteObject: [slow, "lose", "swallow", "fail-after"],
    GetObject: readFaults,
    ListObjectsV2: readFaults,
    HeadObject: [slow, "lose"],
  };
  return (operation) => drawn(draw, faults[operation] ?? []);
}

function drawn(draw: () => number, faults: readonly StubFault[]): StubFault | undefined {
  return draw() < faultRate ? faults[Math.floor(draw() * faults.length)] : undefined;
}
