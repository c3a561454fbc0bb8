import fc from "fast-check";
import { encodeBatch } from "../../src/broker/log/batch.ts";
import type { Message } from "../../src/broker/log/message.ts";

const instant = fc.integer({ min: 0, max: 2 ** 48 - 1 });
const text = fc.string({ unit: "binary", maxLength: 40 });

/** Any message that the format can hold, also ones that the broker's rules refuse. */
export const anyMessage: fc.Arbitrary<Message> = fc.record(
  {
    body: fc.uint8Array({ maxLength: 300 }),
    bornAt: instant,
    tag: text,
    keys: fc.array(text, { minLength: 1, maxLength: 64 }),
    properties: fc.dictionary(text, text, { minKeys: 1, maxKeys: 20 }),
    messageId: text,
    messageGroup: text,
  },
  { requiredKeys: ["body", "bornAt"] },
);

export const anyBatch = fc.record({
  id: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  firstAttemptAt: instant,
  bornAt: instant,
  messages: fc.array(anyMessage, { minLength: 1, maxLength: 8 }),
});

export const anyEncodedBatch = anyBatch.map(encodeBatch);

/** A message in a shape in which two can be compared, whatever the prototypes of their parts. */
export function comparable(message: Message): object {
  const { body, properties, ...rest } = message;
  return {
    ...rest,
    body: Buffer.from(body).toString("hex"),
    ...(properties === undefined ? {} : { properties: Object.entries(properties).sort() }),
  };
}
