import { describe, expect, it } from "vitest";
import type { Answer, CallOptions } from "../support/http-client.ts";

/** What the cases need of the suite that they are part of. */
export interface Suite {
  ask(method: string, path: string, options?: CallOptions): Promise<Answer>;
  newTopic(settings?: object): Promise<string>;
  send(topic: string, ...messages: object[]): Promise<Answer>;
  pull(topic: string, queue: number, offset: number, more?: string): Promise<Answer>;
}

let groups = 0;

/** The part of the contract that is about transactions. */
export function runTransactionCases({ ask, newTopic, send, pull }: Suite): void {
  const newGroup = () => `producers-${Date.now()}-${++groups}`;
  const prepare = async (topic: string, message: object, more: object = {}) => {
    const json = { message, producerGroup: "shop", ...more };
    const answer = await ask("POST", `/v1/topics/${topic}/transactions`, { json });
    expect(answer.status, JSON.stringify(answer.json)).toBe(200);
    expect(answer.json).toEqual({
      transactionId: expect.stringMatching(/^[0-9a-f]{32}$/),
      messageId: expect.any(String),
    });
    return answer.json as { transactionId: string; messageId: string };
  };
  const end = (verb: "commit" | "rollback" | "revive", transactionId: string) =>
    ask("POST", `/v1/transactions/${transactionId}/${verb}`);
  const look = async (transactionId: string) =>
    (await ask("GET", `/v1/transactions/${transactionId}`)).json;
  const takeChecks = async (group: string, json: object = {}) => {
    const answer = await ask("POST", `/v1/producer-groups/${group}/checks`, { json });
    expect(answer.status).toBe(200);
    return answer.json.checks;
  };

  describe("a transaction", () => {
    it("is invisible until it is committed, and is then there with every field, at the place that is told", async () => {
      const topic = await newTopic({ queues: 1, type: "TRANSACTION" });
      const message = {
        body: "Grüße 🐎",
        tag: "created",
        keys: ["4711"],
        properties: { region: "eu" },
        bornAt: 1_700_000_000_123,
      };
      const { transactionId, messageId } = await prepare(topic, message);
      expect((await pull(topic, 0, 0)).json).toMatchObject({ messages: [], maxOffset: 0 });
      const open = await look(transactionId);
      expect(open).toMatchObject({
        ...{ transactionId, messageId, topic, queue: 0 },
        ...{ state: "PREPARED", producerGroup: "shop", preparedAt: expect.any(Number) },
      });
      expect(open).not.toHaveProperty("offset");
      const committed = { transactionId, state: "COMMITTED", topic, queue: 0, offset: 0 };
      for (let again = 0; again < 3; again++) {
        const { status, json } = await end("commit", transactionId);
        expect([status, json]).toEqual([200, committed]);
      }
      const { messages } = (await pull(topic, 0, 0)).json;
      expect(messages).toMatchObject([{ ...message, messageId, topic, queue: 0, offset: 0 }]);
      expect(await end("rollback", transactionId)).toMatchObject({
        status: 409,
        json: { code: "transaction_ended", details: { ...committed, offset: 0 } },
      });
      expect(await look(transactionId)).toMatchObject({ ...committed, messageId });
    });

    it("that is rolled back is never there", async () => {
      const topic = await newTopic({ queues: 1 });
      const { transactionId } = await prepare(topic, { body: "x" });
      for (let again = 0; again < 2; again++) {
        const { status, json } = await end("rollback", transactionId);
        const rolledBack = { transactionId, state: "ROLLED_BACK", topic, queue: 0 };
        expect([status, json]).toEqual([200, rolledBack]);
      }
      expect(await end("commit", transactionId)).toMatchObject({
        status: 409,
        json: { code: "transaction_ended", details: { state: "ROLLED_BACK" } },
      });
      expect((await pull(topic, 0, 0)).json).toMatchObject({ messages: [], maxOffset: 0 });
    });

    it("is one, prepared again with its batch id, or with its message id", async () => {
      const topic = await newTopic({ queues: 2 });
      const once = { batchId: "00112233-4455-6677-8899-aabbccddee0f", firstAttemptAt: Date.now() };
      const first = await prepare(topic, { body: "a" }, once);
      expect(first.transactionId).toBe(once.batchId.replaceAll("-", ""));
      expect(await prepare(topic, { body: "a" }, once)).toEqual(first);
      const other = { message: { body: "b" }, producerGroup: "shop", ...once };
      expect(await ask("POST", `/v1/topics/${topic}/transactions`, { json: other })).toMatchObject({
        status: 422,
        json: { code: "idempotency_key_reused", details: { field: "batchId" } },
      });
      const mine = { body: "c", messageId: "order-1" };
      const named = await prepare(topic, mine);
      expect(named.messageId).toBe("order-1");
      await end("commit", named.transactionId);
      expect(await prepare(topic, mine)).toEqual(named);
      const another = await prepare(await newTopic(), mine);
      expect(another.transactionId).not.toBe(named.transactionId);
    });

    it("takes a body that is too large for a row, a group and a delay, whose clock starts with the commit", async () => {
      const topic = await newTopic({ queues: 4 });
      const body = "x".repeat(1_000_000);
      const message = { body, messageGroup: "g7", delayMs: 400 };
      const once = { batchId: crypto.randomUUID(), firstAttemptAt: Date.now() };
      const { transactionId, messageId } = await prepare(topic, message, once);
      expect((await prepare(topic, message, once)).transactionId).toBe(transactionId);
      await new Promise((resolve) => setTimeout(resolve, 500));
      const before = Date.now();
      const { status, json } = await end("commit", transactionId);
      expect([status, json.state]).toEqual([200, "COMMITTED"]);
      expect(json.deliverAt).toBeGreaterThanOrEqual(before + 300);
      expect(json.recallHandle).toMatch(/^[0-9a-f]{52}$/);
      expect((await end("commit", transactionId)).json).toEqual(json);
      const pulled = await pull(topic, json.queue, 0, "&waitMs=10000");
      expect(pulled.json.messages).toMatchObject([{ body, messageId, messageGroup: "g7" }]);
      expect(pulled.json.messages[0].storedAt).toBeGreaterThanOrEqual(json.deliverAt);
    });

    it("can be recalled while its message waits", async () => {
      const topic = await newTopic({ queues: 1 });
      const { transactionId } = await prepare(topic, { body: "x", delayMs: 60_000 });
      const { recallHandle } = (await end("commit", transactionId)).json;
      expect((await ask("DELETE", `/v1/delayed/${recallHandle}`)).status).toBe(204);
    });

    it("goes to a topic of its type or a mixed one, and no other message to that type", async () => {
      const topic = await newTopic({ queues: 1, type: "TRANSACTION" });
      expect((await send(topic, { body: "x" })).json.code).toBe("type_mismatch");
      await prepare(topic, { body: "x", messageGroup: "g" });
      for (const type of ["NORMAL", "FIFO", "DELAY"]) {
        const other = await newTopic({ queues: 1, type });
        const json = { message: { body: "x" }, producerGroup: "shop" };
        const refused = await ask("POST", `/v1/topics/${other}/transactions`, { json });
        expect(refused).toMatchObject({
          status: 422,
          json: {
            code: "type_mismatch",
            details: { field: "message", given: "TRANSACTION", allowed: type },
          },
        });
      }
    });

    it("that is not there is 404", async () => {
      for (const id of ["0".repeat(32), "nothing", "%20"]) {
        for (const path of ["commit", "rollback", "revive"])
          expect(await ask("POST", `/v1/transactions/${id}/${path}`)).toMatchObject({
            status: 404,
            json: { code: "transaction_not_found" },
          });
        expect((await ask("GET", `/v1/transactions/${id}`)).status).toBe(404);
      }
    });
  });

  describe("a producer group", () => {
    it("is asked what became of a transaction that is open, one member at a time, and at last it is discarded", async () => {
      const topic = await newTopic({ queues: 1 });
      const group = newGroup();
      // Longer than three polls that begin together may be apart on a slow machine.
      const settings = { checkEveryMs: 3_000, checksMax: 2 };
      expect((await ask("GET", `/v1/producer-groups/${group}`)).json).toEqual({
        ...{ producerGroup: group, checkEveryMs: 30_000, checksMax: 15 },
      });
      for (const json of [{ checkEveryMs: 3_000 }, { checksMax: 2 }, {}])
        await ask("PUT", `/v1/producer-groups/${group}`, { json });
      const told = (await ask("PUT", `/v1/producer-groups/${group}`, { json: {} })).json;
      expect(told).toEqual({ producerGroup: group, ...settings });
      const soon = { producerGroup: group, checkAfterMs: 1_000 };
      const body = "y".repeat(20_000);
      const message = { body, tag: "t", messageGroup: "g" };
      const { transactionId, messageId } = await prepare(topic, message, soon);
      const quick = await prepare(topic, { body: "ended" }, soon);
      expect(await takeChecks(group)).toEqual([]);
      await end("commit", quick.transactionId);
      const polls = await Promise.all(
        [1, 2, 3].map(() => takeChecks(group, { max: 2, waitMs: 1_400 })),
      );
      const [check, ...more] = polls.flat();
      expect(more).toEqual([]);
      expect(check).toEqual({
        transactionId,
        topic,
        check: 1,
        message: {
          ...message,
          ...{ queue: 0, messageId, bodyEncoding: "utf8", bornAt: expect.any(Number) },
        },
      });
      expect(await takeChecks(group, { waitMs: 5_000 })).toMatchObject([{ check: 2 }]);
      expect(await takeChecks(group, { waitMs: 4_000 })).toEqual([]);
      expect(await look(transactionId)).toMatchObject({ state: "DISCARDED" });
      expect(await end("commit", transactionId)).toMatchObject({
        status: 409,
        json: { code: "transaction_ended", details: { state: "DISCARDED" } },
      });
      const webhook = (checkUrl: string | null) =>
        ask("PUT", `/v1/producer-groups/${group}`, { json: { checkUrl } });
      // Nobody answers there, and so nothing is counted.
      await webhook("https://checks.invalid/");
      expect((await end("revive", transactionId)).json.state).toBe("PREPARED");
      await webhook(null);
      expect(await takeChecks(group, { waitMs: 15_000 })).toMatchObject([{ check: 1 }]);
      const ended = await end("commit", transactionId);
      expect(ended.json).toMatchObject({ state: "COMMITTED", offset: 1 });
    });

    it("has a webhook whose secret is told when it is minted, and never again", async () => {
      const group = newGroup();
      const change = async (json: object) => {
        const answer = await ask("PUT", `/v1/producer-groups/${group}`, { json });
        expect(answer.status, JSON.stringify(answer.json)).toBe(200);
        return answer.json;
      };
      const plain = { producerGroup: group, checkEveryMs: 30_000, checksMax: 15 };
      const secret = expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/);
      const checkUrl = "https://checks.invalid/shop";
      const first = await change({ checkUrl });
      expect(first).toEqual({ ...plain, checkUrl, checkSecret: secret });
      expect(await change({ checkUrl })).toEqual({ ...plain, checkUrl });
      expect(await change({})).toEqual({ ...plain, checkUrl });
      expect((await ask("GET", `/v1/producer-groups/${group}`)).json).toEqual({
        ...plain,
        checkUrl,
      });
      const topic = await newTopic({ queues: 1 });
      const { transactionId } = await prepare(topic, { body: "x" }, { producerGroup: group });
      await end("commit", transactionId);
      const rotated = await change({ rotateCheckSecret: true });
      expect(rotated).toEqual({ ...plain, checkUrl, checkSecret: secret });
      const other = "https://checks.invalid/other";
      const moved = await change({ checkUrl: other });
      expect(moved).toEqual({ ...plain, checkUrl: other, checkSecret: secret });
      expect(new Set([first, rotated, moved].map((each) => each.checkSecret)).size).toBe(3);
      expect(await change({ checkUrl: null })).toEqual(plain);
      expect(await change({ checkUrl: null })).toEqual(plain);
    });

    it("has its transactions listed in pages, by state", async () => {
      const topic = await newTopic({ queues: 1 });
      const group = newGroup();
      const prepared: string[] = [];
      for (let number = 0; number < 5; number++)
        prepared.push(
          (await prepare(topic, { body: "x" }, { producerGroup: group })).transactionId,
        );
      const [first = "", second = ""] = prepared;
      await end("rollback", first);
      await end("commit", second);
      const list = async (query: string) => {
        const found: string[] = [];
        let cursor = "";
        do {
          const path = `/v1/transactions?producerGroup=${group}&limit=2${query}${cursor}`;
          const { status, json } = await ask("GET", path);
          expect(status).toBe(200);
          for (const each of json.transactions) {
            expect(each).toMatchObject({ topic, producerGroup: group });
            found.push(each.transactionId);
          }
          cursor = json.nextCursor === undefined ? "" : `&cursor=${json.nextCursor}`;
        } while (cursor !== "");
        return found.sort();
      };
      expect(await list("")).toEqual([...prepared].sort());
      expect(await list("&state=PREPARED")).toEqual(prepared.slice(2).sort());
      expect(await list("&state=ROLLED_BACK")).toEqual([first]);
      expect(await list("&state=DISCARDED")).toEqual([]);
      for (const id of prepared.slice(2)) await end("rollback", id);
    });
  });
}
