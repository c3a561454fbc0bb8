import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  committedOf,
  type Delivery,
  decodeState,
  encodeState,
  newState,
  type QueueState,
  stateBytes,
} from "../../../src/broker/consuming/queue-state.ts";
import {
  readReceiptHandle,
  receiptHandleOf,
} from "../../../src/broker/consuming/receipt-handle.ts";
import { settle, standingOf } from "../../../src/broker/consuming/settle-state.ts";
import { Damaged } from "../../../src/broker/ports/failures.ts";

const states = fc
  .record({
    base: fc.maxSafeNat().map((n) => Math.floor(n / 4)),
    gaps: fc.array(
      fc.oneof(
        fc.integer({ min: 1, max: 3 }),
        fc.nat(100_000).map((n) => n + 1),
      ),
      {
        maxLength: 120,
      },
    ),
    cuts: fc.array(fc.nat(9), { maxLength: 120 }),
    orderly: fc.boolean(),
    untils: fc.array(fc.nat(2 ** 41), { minLength: 8, maxLength: 8 }),
    keyed: fc.boolean(),
  })
  .map(({ base, gaps, cuts, orderly, untils, keyed }): QueueState => {
    const state = newState(base);
    const deliveries: Delivery[] = [];
    let offset = base;
    gaps.forEach((gap, index) => {
      offset += gap;
      const open = { offset, hash: orderly ? 1 + (index % 5) : 0 };
      const cut = cuts[index] ?? 0;
      if (cut === 9) state.heldBack.push(open);
      else if (cut === 8 || deliveries.length === 0) {
        const stamp = ++state.lastStamp;
        deliveries.push({
          stamp,
          attempt: 1 + (index % 3),
          until: untils[index % 8] ?? 0,
          held: index % 2 === 0,
          attemptKey: keyed ? "0123456789abcdef" : undefined,
          messages: [open],
        });
      } else deliveries.at(-1)?.messages.push(open);
    });
    return { ...state, next: offset + 1, nextEndsRow: keyed, deliveries, owner: 7, generation: 3 };
  });

describe("the state of a queue", () => {
  it("is read back as it was written", () => {
    fc.assert(
      fc.property(states, (state) => {
        expect(decodeState(encodeState(state))).toEqual(state);
      }),
    );
  });

  it("never grows when something is settled, whatever the order", () => {
    fc.assert(
      fc.property(states, fc.infiniteStream(fc.nat()), (state, picks) => {
        let bytes = stateBytes(state);
        for (const pick of picks) {
          const delivery = state.deliveries[pick % Math.max(1, state.deliveries.length)];
          const message = delivery?.messages[pick % Math.max(1, delivery.messages.length)];
          if (delivery === undefined || message === undefined) break;
          settle(state, delivery, message);
          // How far the lowest open message is behind stands in it once.
          expect(stateBytes(state)).toBeLessThanOrEqual(bytes);
          bytes = stateBytes(state);
          const { offset } = message;
          const { stamp } = delivery;
          const receipt = { groupId: 1, topicId: 1, place: 0, offset, stamp };
          expect(standingOf(state, receipt).is).toBe("settled");
        }
        expect(committedOf(state)).toBe(state.heldBack[0]?.offset ?? state.next);
      }),
      { numRuns: 30 },
    );
  });

  it("is known to be damaged where a byte is another", () => {
    const bytes = encodeState(newState(7));
    for (let at = 0; at < bytes.length; at++) {
      const other = bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));
      expect(() => decodeState(other)).toThrow(Damaged);
    }
  });
});

describe("a receipt handle", () => {
  it("is read back as it was written, and nothing else is one", () => {
    const u32 = fc.nat(2 ** 32 - 1);
    const u48 = fc.nat(2 ** 48 - 1);
    const receipt = fc.record({
      groupId: u32,
      topicId: u32,
      place: fc.nat(65_535),
      offset: u48,
      stamp: u48,
    });
    fc.assert(
      fc.property(receipt, (each) => {
        expect(readReceiptHandle(receiptHandleOf(each), "x")).toEqual(each);
      }),
    );
    for (const wrong of ["", "x", "?".repeat(32), "A".repeat(31), `${"A".repeat(31)}B`])
      expect(() => readReceiptHandle(wrong, "x")).toThrow();
  });
});
