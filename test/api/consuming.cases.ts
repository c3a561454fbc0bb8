import { describe, expect, it } from "vitest";
import type { Answer, CallOptions } from "../support/http-client.ts";

/** What the cases need of the suite that they are part of. */
export interface Suite {
  ask(method: string, path: string, options?: CallOptions): Promise<Answer>;
  newTopic(settings?: object): Promise<string>;
  send(topic: string, ...messages: object[]): Promise<Answer>;
}

// biome-ignore lint/suspicious/noExplicitAny: answers of every shape
type Message = any;

let groups = 0;

/** The part of the contract that is about consuming. */
export function runConsumingCases({ ask, newTopic, send }: Suite): void {
  const newGroup = async (settings: object = {}): Promise<string> => {
    const group = `group-${Date.now()}-${++groups}`;
    const made = await ask("PUT", `/v1/groups/${group}`, { json: settings });
    expect(made.status).toBe(201);
    return group;
  };
  const post = (group: string, verb: string, json: object = {}) =>
    ask("POST", `/v1/groups/${group}/${verb}`, { json });
  const receive = async (group: string, topic: string, more: object = {}): Promise<Message[]> => {
    const answer = await post(group, "receive", { topic, ...more });
    expect(answer.status, JSON.stringify(answer.json)).toBe(200);
    return answer.json.messages;
  };
  const settle = (group: string, verb: string, messages: readonly Message[], more: object = {}) =>
    post(group, verb, { receiptHandles: messages.map((each) => each.receiptHandle), ...more });
  const bodies = (messages: readonly Message[]) => messages.map(({ body }) => body);

  describe("groups", () => {
    it("are made with defaults, changed, listed and deleted", async () => {
      const group = await newGroup();
      const made = await ask("GET", `/v1/groups/${group}`);
      expect(made.json).toMatchObject({
        group,
        orderly: false,
        from: "earliest",
        maxAttempts: 16,
        filters: {},
        broadcast: false,
        paused: false,
        topics: [],
      });
      expect(made.json.retryMs).toHaveLength(16);
      const again = await ask("PUT", `/v1/groups/${group}`, { json: { maxAttempts: 16 } });
      expect([again.status, again.json]).toEqual([200, made.json]);
      expect(await ask("PUT", `/v1/groups/${group}`, { json: { maxAttempts: 2 } })).toMatchObject({
        status: 409,
        json: {
          code: "already_exists",
          details: { field: "maxAttempts", current: { maxAttempts: 16 } },
        },
      });
      const changes = { retryMs: [100], paused: true, filters: { orders: "b||a" } };
      expect(await ask("PATCH", `/v1/groups/${group}`, { json: changes })).toMatchObject({
        status: 200,
        json: { retryMs: [100], paused: true, filters: { orders: "a || b" }, maxAttempts: 16 },
      });
      const listed: string[] = [];
      for (let cursor = ""; ; ) {
        const { json } = await ask("GET", `/v1/groups?limit=2${cursor}`);
        listed.push(...json.groups.map((each: { group: string }) => each.group));
        if (json.nextCursor === undefined) break;
        cursor = `&cursor=${json.nextCursor}`;
      }
      expect(listed).toContain(group);
      expect(listed).toEqual([...listed].sort());
      expect((await ask("DELETE", `/v1/groups/${group}`)).status).toBe(204);
      for (const [method, path] of [
        ["GET", ""],
        ["DELETE", ""],
        ["GET", "/members"],
        ["GET", "/dead-letters"],
      ] as const)
        expect((await ask(method, `/v1/groups/${group}${path}`)).json.code).toBe("group_not_found");
      expect((await ask("PATCH", `/v1/groups/${group}`, { json: {} })).status).toBe(404);
    });

    it("share queues among members, and refuse commits of those who lost theirs", async () => {
      const [topic, group] = [await newTopic({ queues: 4 }), await newGroup()];
      const beat = async (clientId: string) =>
        (await post(group, "heartbeat", { clientId, topics: [topic] })).json;
      const a = await beat("a");
      expect(a).toEqual({
        generation: 1,
        assignments: { [topic]: [0, 1, 2, 3] },
        heartbeatMs: 5_000,
      });
      const b = await beat("b");
      expect(b.generation).toBe(2);
      const [gone] = b.assignments[topic];
      const commit = (clientId: string, generation: number) =>
        ask("PUT", `/v1/groups/${group}/offsets/${topic}`, {
          json: { offsets: { [gone]: 1 }, clientId, generation },
        });
      expect(await commit("a", 1)).toMatchObject({
        status: 409,
        json: { code: "generation_stale", details: { queues: [gone] } },
      });
      expect((await commit("b", 2)).json).toEqual({ offsets: { [gone]: 1 } });
      const { json } = await ask("GET", `/v1/groups/${group}/members`);
      expect(json.members.map((each: { clientId: string }) => each.clientId)).toEqual(["a", "b"]);
      expect(await ask("DELETE", `/v1/groups/${group}`)).toMatchObject({
        status: 409,
        json: { code: "group_has_members" },
      });
      for (const each of ["b", "b"])
        expect((await post(group, "leave", { clientId: each })).status).toBe(204);
      expect((await beat("a")).assignments[topic]).toEqual([0, 1, 2, 3]);
      expect((await ask("DELETE", `/v1/groups/${group}?force=true`)).status).toBe(204);
    });

    it("begin anew after a reset, which can be tried, conditioned and forced", async () => {
      const [topic, group] = [await newTopic({ queues: 1 }), await newGroup()];
      await send(topic, { body: "a" }, { body: "b" });
      const got = await receive(group, topic);
      await settle(group, "ack", got);
      const reset = (json: object) => ask("POST", `/v1/groups/${group}/reset/${topic}`, { json });
      const told = { before: { 0: 2 }, after: { 0: 0 } };
      expect((await reset({ to: "earliest", dryRun: true })).json).toEqual(told);
      expect(await receive(group, topic)).toEqual([]);
      expect(await reset({ to: "earliest", ifOffsets: { 0: 1 } })).toMatchObject({
        status: 412,
        json: { code: "condition_failed", details: { given: 1, allowed: 2 } },
      });
      await post(group, "heartbeat", { clientId: "a", topics: [topic] });
      expect((await reset({ to: "earliest" })).json.code).toBe("group_has_members");
      expect((await reset({ to: "earliest", force: true, ifOffsets: { 0: 2 } })).json).toEqual(
        told,
      );
      expect(await settle(group, "ack", got)).toMatchObject({
        status: 409,
        json: { code: "receipt_stale" },
      });
      expect(bodies(await receive(group, topic))).toEqual(["a", "b"]);
      const to = { offsets: { 0: 1 } };
      expect((await reset({ to, force: true })).json.after).toEqual({ 0: 1 });
      expect(bodies(await receive(group, topic))).toEqual(["b"]);
      expect((await reset({ to: { at: Date.now() + 1_000 }, force: true })).json.after).toEqual({
        0: 2,
      });
    });
  });

  describe("poll", () => {
    it("joins, pulls from all queues, commits what it is told to, and goes on behind it", async () => {
      const [topic, group] = [await newTopic({ queues: 2 }), await newGroup()];
      await send(topic, { body: "a", queue: 0 }, { body: "b", queue: 1, tag: "t" });
      const turn = { clientId: "x", topics: [topic] };
      const first = (await post(group, "poll", turn)).json;
      expect(bodies(first.messages).sort()).toEqual(["a", "b"]);
      expect(first).toMatchObject({
        generation: 1,
        assignments: { [topic]: [0, 1] },
        next: { [topic]: { 0: 1, 1: 1 } },
      });
      const { generation, next } = first;
      const second = await post(group, "poll", { ...turn, generation, commit: next });
      expect(second.json.messages).toEqual([]);
      const waiting = post(group, "poll", { ...turn, waitMs: 10_000 });
      await send(topic, { body: "c", queue: 1 });
      expect((await waiting).json.messages).toMatchObject([
        { topic, queue: 1, offset: 1, body: "c" },
      ]);
      expect((await post(group, "poll", { ...turn, filter: "t" })).json.code).toBe(
        "filter_conflict",
      );
    });
  });

  describe("receive", () => {
    it("gives messages out, with handles that acknowledge, extend and give back", async () => {
      const [topic, group] = [await newTopic({ queues: 2 }), await newGroup({ retryMs: [0] })];
      await send(
        topic,
        { body: "a", queue: 0, tag: "t" },
        { body: "b", queue: 0 },
        { body: "c", queue: 1 },
      );
      const got = await receive(group, topic, { attemptId: "first" });
      expect(bodies(got).sort()).toEqual(["a", "b", "c"]);
      const a = got.find(({ body }) => body === "a");
      expect(a).toMatchObject({ topic, queue: 0, offset: 0, tag: "t", deliveryAttempt: 1 });
      expect(a.invisibleUntil).toBeGreaterThan(Date.now() + 20_000);
      expect(await receive(group, topic)).toEqual([]);
      const again = await receive(group, topic, { attemptId: "first" });
      const handles = (messages: Message[]) => messages.map((each) => each.receiptHandle).sort();
      expect(handles(again)).toEqual(handles(got));
      expect((await settle(group, "extend", [a], { invisibleMs: 60_000 })).json).toEqual({
        results: [{ status: "OK" }],
      });
      const lag = (await ask("GET", `/v1/groups/${group}/lag/${topic}`)).json;
      expect([lag.total, lag.queues[0].inFlight]).toEqual([3, 2]);
      const others = got.filter((each) => each !== a);
      expect((await settle(group, "ack", others)).json.results).toEqual(
        others.map(() => ({ status: "OK" })),
      );
      expect((await settle(group, "nack", [a])).status).toBe(200);
      const [retried] = await receive(group, topic, { waitMs: 5_000 });
      expect(retried).toMatchObject({ body: "a", deliveryAttempt: 2 });
      expect((await settle(group, "extend", [a], { invisibleMs: 60_000 })).status).toBe(409);
      const mixed = await settle(group, "ack", [a, retried]);
      expect(mixed.json.results).toMatchObject([
        { error: { code: "receipt_stale" } },
        { status: "OK" },
      ]);
      expect(await settle(group, "ack", [a])).toMatchObject({
        status: 409,
        json: { code: "receipt_stale", details: { results: [{ error: {} }] } },
      });
    });

    it("is woken by a send", async () => {
      const [topic, group] = [await newTopic({ queues: 4 }), await newGroup()];
      const waiting = receive(group, topic, { waitMs: 20_000 });
      await receive(group, topic, { waitMs: 200 });
      const began = Date.now();
      await send(topic, { body: "wake up" });
      expect(bodies(await waiting)).toEqual(["wake up"]);
      expect(Date.now() - began).toBeLessThan(5_000);
    });

    it("keeps message groups in order and apart in an orderly group", async () => {
      const [topic, group] = [
        await newTopic({ queues: 1 }),
        await newGroup({ orderly: true, retryMs: [0] }),
      ];
      await send(topic, ...["a1", "b1", "a2"].map((body) => ({ body, messageGroup: body[0] })));
      const first = await receive(group, topic, { max: 1 });
      expect(bodies(first)).toEqual(["a1"]);
      const other = await receive(group, topic);
      expect(bodies(other)).toEqual(["b1"]);
      await settle(group, "nack", first);
      expect(bodies(await receive(group, topic))).toEqual(["a1", "a2"]);
    });

    it("gives out what the group's filter wants, and refuses another filter", async () => {
      const topic = await newTopic({ queues: 1 });
      const group = await newGroup({ filters: { [topic]: "yes" } });
      await send(topic, { body: "a", tag: "no" }, { body: "b", tag: "yes" });
      expect(bodies(await receive(group, topic, { filter: "yes" }))).toEqual(["b"]);
      expect(await post(group, "receive", { topic, filter: "no" })).toMatchObject({
        status: 409,
        json: { code: "filter_conflict", details: { given: "no", current: "yes" } },
      });
    });
  });

  describe("dead letters", () => {
    it("tell their past, and are redriven to their group alone", async () => {
      const [topic, group] = [await newTopic({ queues: 1 }), await newGroup({ maxAttempts: 1 })];
      const other = await newGroup();
      await send(topic, { body: "a", properties: { p: "q" } });
      const [sent] = await receive(other, topic);
      await settle(other, "ack", [sent]);
      expect((await ask("GET", `/v1/groups/${group}/dead-letters`)).json.messages).toEqual([]);
      const got = await receive(group, topic);
      expect((await settle(group, "nack", got)).status).toBe(200);
      const list = () => ask("GET", `/v1/groups/${group}/dead-letters?max=10`);
      for (let tries = 0; tries < 100 && (await list()).json.messages.length === 0; tries++)
        await new Promise((resolve) => setTimeout(resolve, 50));
      const { json } = await list();
      expect(json).toMatchObject({ nextOffset: 1, minOffset: 0, maxOffset: 1 });
      expect(json.messages).toMatchObject([
        {
          body: "a",
          properties: { p: "q" },
          messageId: sent.messageId,
          origin: { topic, queue: 0, offset: 0, reason: "attempts", attempts: 1 },
          redriven: false,
        },
      ]);
      expect((await post(group, "redrive", { dryRun: true })).json).toEqual({
        moved: 1,
        remaining: 1,
      });
      expect((await post(group, "redrive", {})).json).toEqual({ moved: 1, remaining: 0 });
      expect((await post(group, "redrive", {})).json).toEqual({ moved: 0, remaining: 0 });
      const again = await receive(group, topic, { waitMs: 10_000 });
      expect(again).toMatchObject([{ body: "a", topic, queue: 0, offset: 0, deliveryAttempt: 1 }]);
      expect(await receive(other, topic)).toEqual([]);
      await settle(group, "nack", again, { deadLetter: true });
    });
  });
}
