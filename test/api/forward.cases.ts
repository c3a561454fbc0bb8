import { describe, expect, it } from "vitest";
import type { Answer } from "../support/http-client.ts";
import type { Suite as ConsumingSuite } from "./consuming.cases.ts";

/** What the cases need of the suite that they are part of. */
export interface Suite extends ConsumingSuite {
  pull(topic: string, queue: number, offset: number, more?: string): Promise<Answer>;
}

let groups = 0;

/** The part of the contract that is about forwards. */
export function runForwardCases({ ask, newTopic, send, pull }: Suite): void {
  const newGroup = async (): Promise<string> => {
    const group = `forwards-${Date.now()}-${++groups}`;
    expect((await ask("PUT", `/v1/groups/${group}`, { json: {} })).status).toBe(201);
    return group;
  };
  const received = async (group: string, topic: string): Promise<string[]> => {
    const answer = await ask("POST", `/v1/groups/${group}/receive`, { json: { topic } });
    expect(answer.status, JSON.stringify(answer.json)).toBe(200);
    return answer.json.messages.map((each: { receiptHandle: string }) => each.receiptHandle);
  };
  const forward = (group: string, receiptHandles: string[], sends: object[]) =>
    ask("POST", `/v1/groups/${group}/forward`, { json: { receiptHandles, sends } });
  const bodies = async (topic: string) =>
    (await pull(topic, 0, 0)).json.messages.map(({ body }: { body: string }) => body);

  describe("a forward", () => {
    it("acknowledges and sends at once, over several topics, and again answers the same", async () => {
      const [from, bank, audit] = [
        await newTopic({ queues: 1 }),
        await newTopic({ queues: 1 }),
        await newTopic({ queues: 1 }),
      ];
      const group = await newGroup();
      await send(from, { body: "a" }, { body: "b" });
      const handles = await received(group, from);
      expect(handles).toHaveLength(2);
      const sends = [
        { topic: bank, messages: [{ body: "1", messageGroup: "g", tag: "t" }, { body: "2" }] },
        { topic: audit, messages: [{ body: "3", messageId: "mine" }] },
        { topic: bank, messages: [{ body: "4", delayMs: 3_600_000 }] },
      ];
      const first = await forward(group, handles, sends);
      expect([first.status, first.json]).toEqual([
        200,
        {
          results: [
            ...[0, 1].map((offset) => ({
              ...{ status: "SEND_OK", topic: bank, queue: 0, offset },
              messageId: expect.any(String),
            })),
            { status: "SEND_OK", topic: audit, queue: 0, offset: 0, messageId: "mine" },
            {
              ...{ status: "SEND_OK", topic: bank, messageId: expect.any(String) },
              deliverAt: expect.any(Number),
              recallHandle: expect.any(String),
            },
          ],
        },
      ]);
      expect((await forward(group, [...handles].reverse(), sends)).json).toEqual(first.json);
      expect(await bodies(bank)).toEqual(["1", "2"]);
      expect(await bodies(audit)).toEqual(["3"]);
      const { messages } = (await pull(bank, 0, 0)).json;
      expect(messages[0]).toMatchObject({
        messageId: first.json.results[0].messageId,
        messageGroup: "g",
        tag: "t",
      });
      const lag = await ask("GET", `/v1/groups/${group}/lag/${from}`);
      expect(lag.json).toMatchObject({ total: 0, queues: [{ committed: 2, inFlight: 0 }] });
      const { recallHandle } = first.json.results[3];
      expect((await ask("DELETE", `/v1/delayed/${recallHandle}`)).status).toBe(204);
      expect(await forward(group, handles, sends.slice(1))).toMatchObject({
        status: 422,
        json: { code: "idempotency_key_reused", details: { field: "sends" } },
      });
    });

    it("is refused whole where one receipt is stale", async () => {
      const [from, to] = [await newTopic({ queues: 1 }), await newTopic({ queues: 1 })];
      const group = await newGroup();
      await send(from, { body: "a" }, { body: "b" });
      const handles = await received(group, from);
      await ask("POST", `/v1/groups/${group}/ack`, { json: { receiptHandles: handles.slice(1) } });
      const sends = [{ topic: to, messages: [{ body: "1" }] }];
      expect(await forward(group, handles, sends)).toMatchObject({
        status: 409,
        json: {
          code: "receipt_stale",
          details: { field: "receiptHandles[1]", stale: ["receiptHandles[1]"] },
        },
      });
      expect(await bodies(to)).toEqual([]);
      expect((await forward(group, handles.slice(0, 1), sends)).status).toBe(200);
      expect(await bodies(to)).toEqual(["1"]);
      const gone = [{ topic: "nowhere-to-be-found", messages: [{ body: "1" }] }];
      await send(from, { body: "c" });
      const third = await received(group, from);
      expect(await forward(group, third, gone)).toMatchObject({
        status: 404,
        json: { code: "topic_not_found" },
      });
      expect((await forward(group, third, sends)).status).toBe(200);
      expect((await forward("no-such-group", third, sends)).json.code).toBe("group_not_found");
    });

    it("carries a body of a megabyte beside a small one", async () => {
      const [from, to] = [await newTopic({ queues: 1 }), await newTopic({ queues: 2 })];
      const group = await newGroup();
      await send(from, { body: "a" });
      const handles = await received(group, from);
      const body = "x".repeat(1_048_576);
      const messages = [
        { body, queue: 0 },
        { body: "small", queue: 1 },
      ];
      const first = await forward(group, handles, [{ topic: to, messages }]);
      expect(first.status).toBe(200);
      expect((await forward(group, handles, [{ topic: to, messages }])).json).toEqual(first.json);
      expect((await pull(to, 0, 0)).json.messages[0].body).toBe(body);
      expect((await pull(to, 1, 0)).json).toMatchObject({
        maxOffset: 1,
        messages: [{ body: "small" }],
      });
    });
  });
}
