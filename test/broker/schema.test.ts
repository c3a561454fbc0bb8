import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { keyId } from "../../src/broker/ports/store.ts";
import {
  archiveKey,
  dueAtOf,
  keys,
  offsetKey,
  partitions,
  queueOffsetOf,
} from "../../src/broker/schema.ts";

const offset = fc.oneof(fc.maxSafeNat(), fc.nat(1_000), fc.constantFrom(0, 255, 256, 2 ** 32));
const queueId = fc.record({
  topicId: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
  queue: fc.integer({ min: 0, max: 65_535 }),
});

describe("the keys of the store", () => {
  it("sort as the offsets in them do, and give them back", () => {
    fc.assert(
      fc.property(offset, offset, (a, b) => {
        expect(Math.sign(Buffer.compare(offsetKey(a), offsetKey(b)))).toBe(Math.sign(a - b));
        expect(queueOffsetOf(offsetKey(a))).toBe(a);
      }),
    );
  });

  it("sort work by when it is due, and tell it", () => {
    fc.assert(
      fc.property(offset, offset, fc.string(), fc.string(), (a, b, x, y) => {
        const [first, second] = [keys.work(a, x).sort, keys.work(b, y).sort];
        if (a !== b) expect(Math.sign(Buffer.compare(first, second))).toBe(Math.sign(a - b));
        expect(dueAtOf(first)).toBe(a);
      }),
    );
  });

  it("keep queues, segments and kinds of record apart", () => {
    fc.assert(
      fc.property(queueId, queueId, offset, offset, (a, b, x, y) => {
        const of = (queue: typeof a, base: number) => [
          partitions.segments(queue),
          partitions.queueStates({ groupId: queue.queue + 1, topicId: queue.topicId, member: "" }),
          partitions.batches(queue, { base, part: 0 }),
        ];
        const names = [...of(a, x), ...of(b, y)].map((bytes) => Buffer.from(bytes).toString("hex"));
        const sameQueue = a.topicId === b.topicId && a.queue === b.queue;
        const expected = sameQueue ? (x === y ? 3 : 4) : 6;
        expect(new Set(names).size).toBe(expected);
      }),
    );
  });

  it("name one record each", () => {
    const queue = { topicId: 1, queue: 2 };
    const consumer = { groupId: 1, topicId: 2, member: "" };
    const all = [
      keys.topic("a"),
      keys.topic("b"),
      keys.lastTopicId,
      keys.segment(queue, 0),
      keys.segment(queue, 1),
      keys.group("a"),
      keys.group("b"),
      keys.lastGroupId,
      keys.assignment(1),
      keys.member(1, "a"),
      keys.member(2, "a"),
      keys.consumerOf(consumer),
      keys.consumerOf({ ...consumer, member: "a" }),
      keys.queueState(consumer, 0),
      keys.queueState(consumer, 1),
      keys.queueState({ ...consumer, member: "a" }, 0),
      keys.queueState({ ...consumer, topicId: 3 }, 0),
      keys.work(1, "a"),
      keys.work(1, "b"),
      keys.work(2, "a"),
    ].map(keyId);
    expect(new Set(all).size).toBe(all.length);
  });

  it("are these bytes, in every release that reads this format", () => {
    const queue = { topicId: 0x01020304, queue: 0x0506 };
    const digits = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
    expect(digits(partitions.segments(queue))).toBe("53010203040506");
    expect(digits(partitions.batches(queue, { base: 7, part: 8 }))).toBe(
      "4201020304050600000000000000070008",
    );
    const consumer = { groupId: 0x0708090a, topicId: 0x01020304, member: "a" };
    expect(digits(partitions.queueStates(consumer))).toBe("520708090a0102030461");
    expect(digits(keys.queueState(consumer, 0x0506).sort)).toBe("0506");
    expect(digits(partitions.members(1))).toBe("4800000001");
    expect(digits(partitions.consumersOf(1))).toBe("4b00000001");
    expect(digits(keys.consumerOf(consumer).sort)).toBe("0708090a61");
    expect(digits(partitions.groups)).toBe("43");
    expect(digits(partitions.topics)).toBe("54");
    expect(digits(partitions.work)).toBe("57");
    expect(archiveKey({ topicId: 1, queue: 2 }, { base: 7, part: 8 })).toBe(
      "segments/1/2/0000000000000007.8",
    );
    expect(digits(keys.lastTopicId.partition)).toBe("49");
  });
});
