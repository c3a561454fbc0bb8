import { utf8 } from "../../../src/broker/bytes.ts";
import { limits } from "../../../src/broker/limits.ts";
import { encodeBatch } from "../../../src/broker/log/batch.ts";
import { sendBatch } from "../../../src/broker/sending/send-batch.ts";
import { type OutgoingMessage, sendMessages } from "../../../src/broker/sending/send-messages.ts";
import type { Auditor } from "../auditor.ts";
import type { Client } from "../client.ts";
import type { Scenario } from "../scenario.ts";

/** Makes every mistake there is. Nothing of what it sends may ever appear. */
export function clumsy(auditor: Auditor, scenario: Scenario) {
  let number = 0;
  return async (client: Client): Promise<void> => {
    while (!client.done) {
      const { dice } = client.world;
      const topic = dice.pick(scenario.topics).name;
      const uid = `${client.name}-${++number}-0`;
      auditor.sent.set(uid, {
        uid,
        topic,
        keys: [],
        checksum: 0,
        group: undefined,
        attempts: [{ startedAt: client.world.now, outcome: "refused" }],
      });
      const body = utf8(`${uid} `);
      const now = client.world.now;
      if (dice.chance(0.5)) {
        const wrong = dice.pick(wrongMessages(body));
        const once = dice.pick([
          {},
          { batchId: dice.bytes(16) },
          { batchId: dice.bytes(16), firstAttemptAt: now + 9_000 },
          { batchId: dice.bytes(16), firstAttemptAt: now - 3_600_000 },
        ]);
        await client.call("wrong send", (broker, io) =>
          sendMessages(io, broker, { topic, messages: [wrong], ...once }),
        );
      } else {
        const bytes = encodeBatch({
          id: dice.bytes(16),
          firstAttemptAt: 0,
          bornAt: now,
          messages: [{ body, bornAt: now }],
        });
        // The checksum covers all but the first eight bytes, and those are compared with what must stand there.
        const place = dice.between(0, bytes.length - 1);
        bytes[place] = (bytes[place] ?? 0) ^ (1 << dice.between(0, 7));
        const cut = dice.chance(0.3) ? bytes.subarray(0, dice.between(0, bytes.length - 1)) : bytes;
        await client.call("wrong batch", (broker, io) =>
          sendBatch(io, broker, { topic, bytes: cut }),
        );
      }
      await client.pause(dice.between(0, 20 * scenario.thinkMs));
    }
  };
}

const tooLarge = new Uint8Array(limits.batchBytesMax).fill(120);

function wrongMessages(body: Uint8Array): OutgoingMessage[] {
  const many = Array.from({ length: 200 }, (_, index) => `k${index}`);
  return [
    { body: new Uint8Array(0) },
    { body, tag: "a|b" },
    { body, tag: " " },
    { body, tag: "\u0001" },
    { body, messageId: "" },
    { body, messageGroup: "x".repeat(64) },
    { body, keys: many },
    { body, keys: ["a b"] },
    { body, properties: Object.fromEntries(many.map((key) => [key, "v"])) },
    { body, properties: { name: "\n" } },
    { body, properties: { name: "v".repeat(20_000) } },
    { body, tag: "\ud800" },
    { body, queue: 1_000 },
    { body, queue: 0, messageGroup: "g" },
    { body, bornAt: -1 },
    { body: tooLarge },
  ];
}
