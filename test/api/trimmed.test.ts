import { describe, expect, it } from "vitest";
import { createHttpApi } from "../../src/api/http.ts";
import { operations } from "../../src/api/operations.ts";
import { Broker } from "../../src/broker/broker.ts";
import { limits } from "../../src/broker/limits.ts";
import { segmentedWorld, smallSegments } from "../support/segmented-world.ts";

const hour = 60 * 60_000;

describe("a queue whose first segments were trimmed", () => {
  it("says which messages it holds, to whoever asks for one, for some, or for its ends", async () => {
    for (const archived of [true, false]) {
      const { ask, clock, sweep } = await world(archived ? 1 : Number.MAX_SAFE_INTEGER);
      const messages = Array.from({ length: 9 }, (_, index) => ({ body: `${index}`, keys: ["k"] }));
      for (const message of messages) await ask("POST", "/messages", { messages: [message] });
      clock.pass(hour);
      await ask("POST", "/messages", { messages: [{ body: "last", keys: ["k"] }] });
      await sweep();
      const told = [];
      for (let offset = 0; offset < 10; offset++)
        told.push((await ask("GET", `/queues/0/messages/${offset}`)).json.body);
      expect(told).toEqual([...messages.map(({ body }) => body), "last"]);

      clock.pass(hour);
      await sweep();
      clock.pass(limits.directoryAgeMsMax);
      expect((await ask("GET", "")).json.queues).toEqual([{ queue: 0, min: 9, max: 10 }]);
      for (const offset of [0, 3, 4, 8, 11]) {
        const range = { field: "offset", given: offset, allowed: "9 to 10", min: 9, max: 10 };
        for (const path of [`/messages/${offset}`, `/messages?offset=${offset}`]) {
          expect(await ask("GET", `/queues/0${path}`), `${path}`).toMatchObject({
            status: 416,
            json: { code: "out_of_range", details: range },
          });
        }
      }
      const one = await ask("GET", "/queues/0/messages/9");
      expect(one).toMatchObject({ status: 200, json: { offset: 9, body: "last" } });
      expect(await ask("GET", "/queues/0/messages/10")).toMatchObject({
        status: 404,
        json: {
          code: "message_not_found",
          details: { field: "offset", given: 10, allowed: "below 10" },
        },
      });
      expect((await ask("GET", "/queues/0/messages?offset=9")).json).toMatchObject({
        messages: [{ offset: 9 }],
        nextOffset: 10,
        minOffset: 9,
        maxOffset: 10,
      });
      expect((await ask("GET", "/queues/0/offset?at=0")).json).toEqual({ offset: 9 });
      expect((await ask("GET", "/search?key=k")).json).toMatchObject({
        messages: [{ offset: 9 }],
        scannedTo: { queue: 0, offset: 10 },
      });
    }
  });
});

/** A topic with one queue and a retention of two hours, asked over HTTP without a server, in virtual time. */
async function world(archiveBytesMin: number) {
  const settings = { ...smallSegments, archiveBytesMin };
  const { io, clock, newBroker } = await segmentedWorld({ settings, retentionMs: 2 * hour });
  const errors: unknown[] = [];
  const onError = (error: unknown) => errors.push(error);
  const api = createHttpApi({ broker: new Broker(io, settings), operations, onError });
  return {
    clock,
    async sweep() {
      for (let sweep = 0; sweep < 2; sweep++) await newBroker().sweep(io);
    },
    async ask(method: string, path: string, json?: object) {
      const [before = "", query] = path.split("?");
      const { status, body } = await api({
        method,
        path: `/v1/topics/orders${before}`,
        query: new URLSearchParams(query),
        header: (name) => (name === "content-type" ? "application/json" : undefined),
        body: new TextEncoder().encode(json === undefined ? "" : JSON.stringify(json)),
      });
      expect(errors).toEqual([]);
      return { status, json: JSON.parse(String(body)) };
    },
  };
}
