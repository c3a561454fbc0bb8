import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decodeItem, encodeItem, storedBytes } from "../../../src/adapters/aws/dynamo-codec.ts";
import { DynamoStore } from "../../../src/adapters/aws/dynamo-store.ts";
import { SystemClock } from "../../../src/adapters/local/system-clock.ts";
import type { Clock } from "../../../src/broker/ports/clock.ts";
import { Damaged, Unavailable } from "../../../src/broker/ports/failures.ts";
import type { CommitResult, Key, Write } from "../../../src/broker/ports/store.ts";
import { hastyClock } from "./hasty-clock.ts";
import { patientClock } from "./patient-clock.ts";
import { AwsStub, type StubFault } from "./stub/aws-stub.ts";
import { cancelled, dynamoError } from "./stub/dynamo-stub.ts";
import { itemSize } from "./stub/expressions.ts";

const applied: CommitResult = { outcome: "applied" };
const unknown: CommitResult = { outcome: "unknown" };
const conflict = dynamoError("TransactionConflictException", "busy");

describe("DynamoStore", () => {
  let stub: AwsStub;
  let clock: Clock;
  let store: DynamoStore;

  beforeEach(async () => {
    clock = new SystemClock();
    stub = await AwsStub.start(clock);
    store = new DynamoStore({ table: "table", clock, client: stub.client });
  });
  afterEach(async () => {
    store.close();
    await stub.stop();
  });

  const within = (ms: number, ...writes: Write[]) => store.commit(writes, clock.now() + ms);
  const commit = (...writes: Write[]) => within(5_000, ...writes);
  const tokens: unknown[] = [];
  const seeTokens = () => {
    tokens.length = 0;
    const earlier = stub.plan;
    stub.plan = (operation, request) => {
      if (operation === "TransactWriteItems")
        tokens.push(JSON.parse(request.body.toString()).ClientRequestToken);
      return earlier(operation, request);
    };
  };

  describe("what it asks for", () => {
    it("writes a single item with one request, and several as one transaction", async () => {
      await commit(put(1, { expect: "vacant" }));
      await commit(remove(1, { expect: { version: "v1" } }));
      await commit(put(1), put(2));
      expect(stub.requests).toEqual(["PutItem", "DeleteItem", "TransactWriteItems"]);
    });

    it("reads a check that stands alone", async () => {
      await commit({ kind: "check", key: key(1), expect: "absent" });
      expect(stub.requests).toEqual(["GetItem"]);
    });

    it("takes the current item from the refusal", async () => {
      await commit(put(1));
      const result = await commit(put(1, { version: "mine", expect: "absent" }));
      expect(result).toMatchObject({ outcome: "refused", current: [{ version: "v1" }] });
      expect(stub.requests).toEqual(["PutItem", "PutItem"]);
    });

    it("reads the current item where the refusal does not bring it", async () => {
      stub.dynamo.bringsItems = false;
      await commit(put(1));
      const result = await commit(put(1, { version: "mine", expect: "absent" }));
      expect(result).toMatchObject({ outcome: "refused", current: [{ version: "v1" }] });
      expect(stub.requests).toEqual(["PutItem", "PutItem", "GetItem"]);
    });

    it("looks at the end of a partition with one request", async () => {
      await commit(put(1));
      await commit(put(2));
      const page = await store.scan({ partition: Uint8Array.of(112), reverse: true, limit: 1 });
      expect(page).toMatchObject({ items: [{ version: "v2" }], more: true });
      expect(stub.requests.slice(2)).toEqual(["Query"]);
    });

    it("follows pages of 1 MB and ends them where it was told", async () => {
      const value = new Uint8Array(300_000);
      for (let i = 1; i <= 7; i++) await commit(put(i, { value }));
      stub.requests.length = 0;
      const partition = Uint8Array.of(112);
      const all = await store.scan({ partition, limit: 100 });
      expect([all.items.length, all.more]).toEqual([7, false]);
      expect(stub.requests).toHaveLength(3);
      const some = await store.scan({ partition, limit: 100, bytesMax: 1_200_000 });
      expect([some.items.length, some.more]).toEqual([4, true]);
      const last = await store.scan({ partition, limit: 100, bytesMax: 2_100_000 });
      expect([last.items.length, last.more]).toEqual([7, false]);
    });

    it("passes over expired items in large steps", async () => {
      const past = { expiresAt: clock.now() - 1 };
      for (let i = 0; i < 400; i += 100)
        await commit(...Array.from({ length: 100 }, (_, j) => put(i + j + 1, past)));
      await commit(put(900));
      stub.requests.length = 0;
      const page = await store.scan({ partition: Uint8Array.of(112), limit: 1 });
      expect(page).toMatchObject({ items: [{ version: "v900" }], more: false });
      expect(stub.requests.length).toBeLessThanOrEqual(6);
    });

    it("asks again for the keys that were left unprocessed", async () => {
      for (let i = 1; i <= 10; i++) await commit(put(i));
      stub.dynamo.batchItemsMax = 4;
      stub.next("BatchGetItem", undefined, dynamoError("ThrottlingException", "too much"));
      stub.requests.length = 0;
      const keys = Array.from({ length: 10 }, (_, i) => key(i + 1));
      const items = await store.get(keys);
      expect(items.map((item) => item?.version)).toEqual(keys.map((_, i) => `v${i + 1}`));
      // 4, refused, 4, and the last 2.
      expect(stub.requests).toEqual(Array(4).fill("BatchGetItem"));
    });

    it("throws Damaged for an item that is not its own", async () => {
      await commit(put(1));
      for (const [id, item] of stub.dynamo.items) {
        const { v: _, ...rest } = item;
        stub.dynamo.items.set(id, rest);
      }
      await expect(store.get([key(1)])).rejects.toBeInstanceOf(Damaged);
      const refused = commit(put(1, { version: "mine", expect: "absent" }));
      await expect(refused).rejects.toBeInstanceOf(Damaged);
    });
  });

  describe("what surely had no effect", () => {
    const refusals: [string, string, StubFault][] = [
      ["a provisioned limit", "PutItem", dynamoError("ProvisionedThroughputExceededException", "")],
      ["throttling", "PutItem", dynamoError("ThrottlingException", "")],
      ["the limit of the account", "PutItem", dynamoError("RequestLimitExceeded", "")],
      ["a transaction of others", "PutItem", conflict],
      [
        "another transaction",
        "TransactWriteItems",
        cancelled([{ Code: "TransactionConflict" }, { Code: "None" }]),
      ],
      [
        "load on one member",
        "TransactWriteItems",
        cancelled([{ Code: "None" }, { Code: "ProvisionedThroughputExceeded" }]),
      ],
    ];
    it.each(refusals)("is tried again: refused for %s", async (_, operation, refusal) => {
      stub.next(operation, refusal, refusal, refusal);
      const writes = operation === "PutItem" ? [put(1)] : [put(1), put(2)];
      expect(await commit(...writes)).toEqual(applied);
      expect(stub.requests).toHaveLength(4);
    });

    it.each(refusals)(
      "is Unavailable when time is up: refused for %s",
      async (_, operation, no) => {
        const until = clock.now() + 1_000;
        stub.plan = () => no;
        const writes = operation === "PutItem" ? [put(1)] : [put(1), put(2)];
        await expect(store.commit(writes, until)).rejects.toBeInstanceOf(Unavailable);
        expect(clock.now()).toBeLessThanOrEqual(until);
        expect(stub.requests.length).toBeGreaterThan(1);
        expect(stub.dynamo.items.size).toBe(0);
      },
    );

    it("is Unavailable: nobody listens", async () => {
      await stub.stop();
      await expect(within(100, put(1))).rejects.toBeInstanceOf(Unavailable);
      stub = await AwsStub.start(clock);
    });

    it("is Unavailable at once: a right is missing", async () => {
      stub.plan = () => dynamoError("AccessDeniedException", "no");
      await expect(commit(put(1))).rejects.toBeInstanceOf(Unavailable);
      await expect(store.get([key(1)])).rejects.toBeInstanceOf(Unavailable);
      expect(stub.requests).toHaveLength(2);
    });

    it("is a bug: DynamoDB does not understand the request", async () => {
      stub.plan = () => dynamoError("ValidationException", "what?");
      await expect(commit(put(1))).rejects.toMatchObject({ name: "ValidationException" });
      expect(stub.requests).toHaveLength(1);
    });

    it("is a refusal: one condition fails and another item is busy", async () => {
      await commit(put(1));
      const reasons = [{ Code: "ConditionalCheckFailed" }, { Code: "TransactionConflict" }];
      stub.next("TransactWriteItems", cancelled(reasons));
      const result = await commit(put(1, { version: "mine", expect: "absent" }), put(2));
      expect(result).toMatchObject({ outcome: "refused", current: [{ version: "v1" }, undefined] });
    });
  });

  describe("what may have had an effect", () => {
    const lostAnswers: StubFault[] = ["lose", "swallow", "cut", "fail-after"];
    it.each(lostAnswers)("is decided by its own version: %s", async (fault) => {
      stub.next("PutItem", fault);
      expect(await commit(put(1, { expect: "vacant" }))).toEqual(applied);
      stub.next("TransactWriteItems", fault);
      const both = [
        put(2, { expect: "absent" }),
        put(1, { version: "next", expect: { version: "v1" } }),
      ];
      expect(await commit(...both)).toEqual(applied);
      const items = await store.get([key(1), key(2)]);
      expect(items.map((item) => item?.version)).toEqual(["next", "v2"]);
    });

    it("is not done twice: a put without a condition", async () => {
      stub.next("PutItem", "swallow");
      expect(await commit(put(1))).toEqual(applied);
      expect(stub.requests).toEqual(["PutItem", "PutItem"]);
      expect(stub.dynamo.writeUnits).toBe(2);
    });

    it("is not done twice: a commit without conditions undoes nothing that others did since", async () => {
      const writes = [put(1), remove(2)];
      expect(await commit(...writes)).toEqual(applied);
      await commit(put(2, { version: "other" }));
      expect(await commit(...writes)).toEqual(applied);
      expect((await store.get([key(2)]))[0]?.version).toBe("other");
    });

    it("is not done twice: a put whose item has expired meanwhile", async () => {
      const write = put(1, { expect: "absent", expiresAt: clock.now() - 60_000 });
      expect(await commit(write, remove(2))).toEqual(applied);
      await commit(put(2, { version: "other" }));
      expect(await commit(write, remove(2))).toEqual(applied);
      expect((await store.get([key(2)]))[0]?.version).toBe("other");
    });

    it("is decided by the token of a transaction that put nothing", async () => {
      await commit(put(1), put(2));
      seeTokens();
      stub.next("TransactWriteItems", "swallow");
      const expected = (i: number) => remove(i, { expect: { version: `v${i}` } });
      expect(await commit(expected(1), expected(2))).toEqual(applied);
      expect(await store.get([key(1), key(2)])).toEqual([undefined, undefined]);
    });

    it("is repeated under the same token, also while the first attempt is under way", async () => {
      const inProgress = dynamoError("TransactionInProgressException", "wait");
      stub.next("TransactWriteItems", conflict, "lose", inProgress, inProgress);
      seeTokens();
      expect(await commit(put(1), put(2))).toEqual(applied);
      const [refused, ...doubtful] = tokens;
      expect(new Set(doubtful).size).toBe(1);
      expect(doubtful).toHaveLength(4);
      expect(doubtful).not.toContain(refused);
    });

    it("stays unknown where others have changed the item since", async () => {
      stub.next("PutItem", "swallow");
      const earlier = stub.plan;
      stub.plan = (operation, request) => {
        const fault = earlier(operation, request);
        if (stub.requests.length === 2)
          stub.dynamo.items.set(...stored(put(1, { version: "other" })));
        return fault;
      };
      expect(await commit(put(1, { expect: "absent" }))).toEqual(unknown);
      const again = await commit(put(1, { expect: "absent" }));
      expect(again).toMatchObject({ outcome: "refused", current: [{ version: "other" }] });
    });

    it("stays unknown: a delete under a version, and the item is gone", async () => {
      await commit(put(1));
      stub.next("DeleteItem", "swallow");
      expect(await commit(remove(1, { expect: { version: "v1" } }))).toEqual(unknown);
    });

    it.each(["stall", "stall-after"] as const)("is cut off when time is up: %s", async (fault) => {
      stub.next("PutItem", fault);
      const started = performance.now();
      expect(await within(200, put(1, { expect: "vacant" }))).toEqual(unknown);
      expect(performance.now() - started).toBeLessThan(1_000);
      expect(stub.dynamo.items.size).toBe(fault === "stall" ? 0 : 1);
      expect(await commit(put(1, { expect: "vacant" }))).toEqual(applied);
    });

    it.each(["stall", "stall-after"] as const)("is given up and repeated: %s", async (fault) => {
      clock = hastyClock(20);
      const hasty = new DynamoStore({ table: "table", clock, client: stub.client });
      stub.next("PutItem", fault);
      expect(await hasty.commit([put(1, { expect: "vacant" })], clock.now() + 60_000)).toEqual(
        applied,
      );
      expect(stub.requests).toEqual(["PutItem", "PutItem"]);
      stub.next("Query", "stall");
      const page = await hasty.scan({ partition: Uint8Array.of(112), limit: 1 });
      expect(page.items).toHaveLength(1);
      hasty.close();
    });

    it("stays unknown whatever comes after it", async () => {
      stub.next("PutItem", "swallow", conflict, dynamoError("AccessDeniedException", "no"));
      expect(await commit(put(1, { expect: "vacant" }))).toEqual(unknown);
    });
  });

  it("law 7: nothing is sent by a process that was stopped after it had looked at the clock", async () => {
    let now = 1_700_000_000_000;
    const stopped = { now: () => now, sleep: () => new Promise<void>(() => {}) };
    const credentials = async () => {
      now += 60_000;
      return { accessKeyId: "test", secretAccessKey: "test" };
    };
    const client = { ...stub.client, credentials };
    const late = new DynamoStore({ table: "table", clock: stopped, client });
    const commits = [[put(1)], [put(1), put(2)], [remove(1)]].map((writes) =>
      late.commit(writes, now + 1_000),
    );
    // The clock stands still between attempts: what does not end by itself would wait for ever.
    for (const held of commits) await expect(held).rejects.toBeInstanceOf(Unavailable);
    expect(stub.requests).toEqual([]);
    late.close();
  });

  describe("law 5 within a second", () => {
    // 499 ms before the second is full to which DynamoDB's attribute is rounded up.
    const expiresAt = 1_700_000_000_501;
    let now: number;
    let still: DynamoStore;

    beforeEach(async () => {
      now = expiresAt - 1;
      const frozen = patientClock({ now: () => now, sleep: async () => {} });
      still = new DynamoStore({ table: "table", clock: frozen, client: stub.client });
      await still.commit([put(1, { expiresAt })], now);
    });
    afterEach(() => still.close());

    it("an item that has expired by a millisecond gives way", async () => {
      now = expiresAt;
      const replaced = await still.commit([put(1, { version: "new", expect: "absent" })], now);
      expect(replaced).toEqual(applied);
      expect(stub.requests).toEqual(["PutItem", "PutItem", "PutItem"]);
    });

    it("an item that expires in a millisecond is still there", async () => {
      const refused = await still.commit([put(1, { version: "new", expect: "absent" })], now);
      expect(refused).toMatchObject({
        outcome: "refused",
        current: [{ version: "v1", expiresAt }],
      });
      const turned = [put(1, { version: "new", expect: { version: "v1" } }), put(2)];
      expect(await still.commit(turned, now)).toEqual(applied);
    });

    it("a version of an item that has expired by a millisecond does not hold", async () => {
      now = expiresAt;
      const turned = [put(1, { version: "new", expect: { version: "v1" } }), put(2)];
      const refused = await still.commit(turned, now);
      expect(refused).toEqual({ outcome: "refused", current: [undefined, undefined] });
    });

    it("who changes it between the refusal and the second attempt is not overwritten", async () => {
      now = expiresAt;
      stub.plan = () => {
        if (stub.requests.length === 3)
          stub.dynamo.items.set(...stored(put(1, { version: "other" })));
        return undefined;
      };
      const refused = await still.commit([put(1, { version: "new", expect: "absent" })], now);
      expect(refused).toMatchObject({ outcome: "refused", current: [{ version: "other" }] });
    });
  });
});

describe("items in DynamoDB", () => {
  const bytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength });
  const puts = fc.record({
    kind: fc.constant("put" as const),
    key: fc.record({ partition: bytes(1, 20), sort: bytes(1, 20) }),
    value: bytes(0, 2_000),
    version: fc.stringMatching(/^[\x21-\x7e]{1,32}$/),
  });
  // Seconds of ten digits: from 2001 to 2286.
  const expiries = fc.integer({ min: 1_000_000_000_000, max: 9_999_999_999_000 });

  it("come back as they were put, to the millisecond", () => {
    fc.assert(
      fc.property(puts, fc.option(expiries, { nil: undefined }), (write, expiresAt) => {
        const item = { ...write, ...(expiresAt === undefined ? {} : { expiresAt }) };
        const { kind: _, ...expected } = item;
        expect(decodeItem(encodeItem(item))).toEqual(expected);
      }),
    );
  });

  it("weigh what is counted for them", () => {
    fc.assert(
      fc.property(puts, (write) => {
        expect(itemSize(asJson(encodeItem(write)))).toBe(storedBytes(write));
      }),
    );
  });

  it("weigh at most what is counted for them if they expire", () => {
    fc.assert(
      fc.property(puts, expiries, (write, expiresAt) => {
        const size = itemSize(asJson(encodeItem({ ...write, expiresAt })));
        expect(size).toBeLessThanOrEqual(storedBytes({ ...write, expiresAt }));
      }),
    );
  });
});

/** The attributes as the SDK sends them. */
function asJson(attributes: ReturnType<typeof encodeItem>) {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [
      name,
      value.B ? { B: Buffer.from(value.B).toString("base64") } : value,
    ]),
  ) as never;
}

/** How a put lies in the stub. */
function stored(write: Write & { kind: "put" }): [string, never] {
  const { partition, sort } = write.key;
  const id = `${Buffer.from(partition).toString("hex")}/${Buffer.from(sort).toString("hex")}`;
  return [id, asJson(encodeItem(write))];
}

function key(i: number): Key {
  return { partition: Uint8Array.of(112), sort: Uint8Array.of(i >> 8, i) };
}

function put(i: number, extra: Partial<Write & { kind: "put" }> = {}): Write & { kind: "put" } {
  return { kind: "put", key: key(i), value: Uint8Array.of(i), version: `v${i}`, ...extra };
}

function remove(i: number, extra: Partial<Write & { kind: "delete" }> = {}): Write {
  return { kind: "delete", key: key(i), ...extra };
}
