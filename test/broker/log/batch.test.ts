import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NodeCompression } from "../../../src/adapters/local/node-compression.ts";
import { limits } from "../../../src/broker/limits.ts";
import {
  batchHeadBytes,
  decodeBatch,
  derivedMessageId,
  encodeBatch,
  readBatch,
} from "../../../src/broker/log/batch.ts";
import { BatchFormatError } from "../../../src/broker/log/batch-format-error.ts";
import { decodeMessages, encodeMessages } from "../../../src/broker/log/message.ts";
import { anyBatch, anyEncodedBatch, comparable } from "../../support/arbitraries.ts";
import { compressed, sealed } from "../../support/batches.ts";

const compression = new NodeCompression();

describe("a batch", () => {
  it("gives back the messages that were put in, plain and compressed", async () => {
    await fc.assert(
      fc.asyncProperty(anyBatch, fc.boolean(), async (batch, gzip) => {
        const plain = encodeBatch(batch);
        const read = readBatch(gzip ? compressed(plain) : plain);
        expect(read).toMatchObject({ count: batch.messages.length, compressed: gzip });
        expect([...read.id]).toEqual([...batch.id]);
        expect(read.firstAttemptAt).toBe(batch.firstAttemptAt);
        expect(read.bornAt).toBe(batch.bornAt);
        const messages = await decodeBatch(read, compression);
        expect(messages.map(comparable)).toEqual(batch.messages.map(comparable));
      }),
    );
  });

  it("is encoded the same way every time, and again from what was decoded", async () => {
    await fc.assert(
      fc.asyncProperty(anyBatch, async (batch) => {
        const bytes = encodeBatch(batch);
        const messages = await decodeBatch(readBatch(bytes), compression);
        expect(Buffer.from(encodeBatch({ ...batch, messages }))).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it("is read from the middle of others", () => {
    fc.assert(
      fc.property(anyEncodedBatch, anyEncodedBatch, (first, second) => {
        const read = readBatch(Buffer.concat([first, second]), first.length);
        expect(Buffer.from(read.bytes)).toEqual(Buffer.from(second));
      }),
    );
  });

  it("is refused when any single byte is another", () => {
    const sample = fc.sample(anyEncodedBatch, { numRuns: 12, seed: 7 });
    const taken: string[] = [];
    for (const bytes of [...sample, ...sample.map(compressed)]) {
      for (let place = 0; place < bytes.length; place++) {
        for (const change of [0x01, 0x80, 0xff]) {
          const flipped = Uint8Array.from(bytes);
          flipped[place] = (bytes[place] ?? 0) ^ change;
          if (!refusesToRead(flipped)) taken.push(`byte ${place} ^ ${change}`);
        }
      }
    }
    expect(taken).toEqual([]);
  });

  it("is refused when it is cut short anywhere", () => {
    fc.assert(
      fc.property(anyEncodedBatch, (bytes) => {
        for (let length = 0; length < bytes.length; length++) {
          if (!refusesToRead(bytes.subarray(0, length))) expect.fail(`cut to ${length} bytes`);
        }
      }),
      { numRuns: 20 },
    );
  });

  it("holds 1 to 1,024 messages, as its head says", async () => {
    const message = { body: Uint8Array.of(1), bornAt: 0 };
    const batchOf = (count: number) =>
      encodeBatch({
        id: new Uint8Array(16),
        firstAttemptAt: 0,
        bornAt: 0,
        messages: Array.from({ length: count }, () => message),
      });
    expect(readBatch(batchOf(limits.messagesPerBatchMax)).count).toBe(1_024);
    expect(() => readBatch(batchOf(limits.messagesPerBatchMax + 1))).toThrow("batch.count");
    expect(() => readBatch(batchOf(0))).toThrow("batch.count");
    for (const lie of [1, 3]) {
      const lying = sealed(batchOf(2), (head) => head.writeUInt16BE(lie, 12));
      await expect(decodeBatch(readBatch(lying), compression)).rejects.toThrow(BatchFormatError);
    }
  });

  it("is refused when its content is no gzip, or grows without end", async () => {
    const bytes = encodeBatch({
      id: new Uint8Array(16),
      firstAttemptAt: 0,
      bornAt: 0,
      messages: [{ body: Uint8Array.of(1), bornAt: 0 }],
    });
    const head = Buffer.from(bytes.subarray(0, batchHeadBytes));
    const bomb = gzipSync(Buffer.alloc(limits.contentBytesMax + 1));
    for (const content of [Buffer.from("no gzip"), bomb, bomb.subarray(0, 100)]) {
      const wrong = sealed(Buffer.concat([head, content]), (changed) => {
        changed.writeUInt16BE(1, 6);
        changed.writeUInt32BE(content.length, 8);
      });
      await expect(decodeBatch(readBatch(wrong), compression)).rejects.toThrow("batch.content");
    }
  });
});

describe("the content of a batch", () => {
  it("is refused by nothing but a BatchFormatError, whatever the bytes", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.integer({ min: 1, max: 5 }),
        (bytes, count) => {
          try {
            decodeMessages(bytes, count, 0);
          } catch (error) {
            expect(error).toBeInstanceOf(BatchFormatError);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it("is refused by nothing but a BatchFormatError when some bytes of a good one are others", () => {
    const flips = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(anyBatch, flips, ({ messages, bornAt }, changes) => {
        const bytes = Uint8Array.from(encodeMessages(messages, bornAt));
        for (const [place, change] of changes) {
          const at = place % bytes.length;
          bytes[at] = (bytes[at] ?? 0) ^ change;
        }
        try {
          decodeMessages(bytes, messages.length, bornAt);
        } catch (error) {
          expect(error).toBeInstanceOf(BatchFormatError);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("keeps a property that is called __proto__", () => {
    const properties = JSON.parse('{"__proto__": "x", "constructor": "y"}') as Record<
      string,
      string
    >;
    const bytes = encodeMessages([{ body: Uint8Array.of(1), bornAt: 5, properties }], 5);
    const [message] = decodeMessages(bytes, 1, 5);
    expect(Object.entries(message?.properties ?? {})).toEqual([
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
  });

  it("is the same bytes for the same messages: longer varints and padding are refused", () => {
    const length = 4; // flags, bornAt, body of two bytes
    expect(decodeMessages(Uint8Array.of(length, 0, 0, 7, 7), 1, 0)).toHaveLength(1);
    expect(() => decodeMessages(Uint8Array.of(length | 0x80, 0, 0, 0, 7, 7), 1, 0)).toThrow(
      "varint",
    );
    expect(() => decodeMessages(Uint8Array.of(length, 0, 0, 7, 7, 0), 1, 0)).toThrow("at its end");
  });
});

describe("the id of a message that brought none", () => {
  it("is the batch's id, the queue and the index in hexadecimal digits", () => {
    const id = Uint8Array.from({ length: 16 }, (_, index) => index);
    expect(derivedMessageId(id, 3, 258)).toBe("000102030405060708090a0b0c0d0e0f00030102");
  });
});

function refusesToRead(bytes: Uint8Array): boolean {
  try {
    readBatch(bytes);
    return false;
  } catch (error) {
    if (error instanceof BatchFormatError) return true;
    throw error;
  }
}
