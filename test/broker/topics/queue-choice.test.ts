import { readFileSync } from "node:fs";
import fc from "fast-check";
import siphash from "siphash";
import { describe, expect, it } from "vitest";
import { queueOfBatch, queueOfGroup } from "../../../src/broker/topics/queue-choice.ts";

interface Vector {
  readonly group: string;
  readonly sipHash: string;
  readonly queueOf8: number;
  readonly queueOf64: number;
}

const vectorsFile = new URL("../../../docs/hash-vectors.json", import.meta.url);
const { vectors } = JSON.parse(readFileSync(vectorsFile, "utf8")) as { vectors: Vector[] };

const key = Uint8Array.from({ length: 16 }, (_, index) => index);
const packageKey = Uint32Array.of(0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c);

describe("the queue of a message group", () => {
  it("rests on SipHash-2-4: the first vectors of its paper's reference code, by both implementations", () => {
    const outputs = [
      "310e0edd47db6f72",
      "fd67dc93c539f874",
      "5a4fa9d909806c0d",
      "2d7efbd796666785",
      "b7877127e09427cf",
      "8da699cd64557618",
      "cee3fe586e46c9cb",
      "37d1018bf50002ab",
      "6224939a79f5f593",
    ];
    outputs.forEach((littleEndian, length) => {
      const input = Uint8Array.from({ length }, (_, index) => index);
      expect(digits(sipHash(input)), `${length} bytes`).toBe(reversed(littleEndian));
      expect(digits(packageHash(input)), `${length} bytes`).toBe(reversed(littleEndian));
    });
  });

  it("is the same by an independent implementation, for any text and any number of queues", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 70 }),
        fc.integer({ min: 1, max: 64 }),
        (group, queues) => {
          const expected = sipHash(new TextEncoder().encode(group));
          expect(packageHash(group)).toBe(expected);
          expect(queueOfGroup(group, queues)).toBe(Number(expected % BigInt(queues)));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it("is what the published vectors say", () => {
    expect(vectors).toHaveLength(20);
    for (const { group, sipHash: hashed, queueOf8, queueOf64 } of vectors) {
      expect(digits(sipHash(new TextEncoder().encode(group))), group).toBe(hashed);
      expect(queueOfGroup(group, 8), group).toBe(queueOf8);
      expect(queueOfGroup(group, 64), group).toBe(queueOf64);
    }
  });
});

describe("the queue of a batch", () => {
  it("is the last four bytes of its id, big-endian, modulo the queues", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        fc.integer({ min: 1, max: 64 }),
        (id, queues) => {
          expect(queueOfBatch(id, queues)).toBe(Buffer.from(id).readUInt32BE(12) % queues);
        },
      ),
    );
  });
});

const mask = 0xffff_ffff_ffff_ffffn;

function rotated(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (64n - bits))) & mask;
}

/** SipHash-2-4 as its paper writes it (Aumasson and Bernstein, 2012), slow and plain. */
function sipHash(input: Uint8Array): bigint {
  const view = new DataView(key.buffer);
  const [k0, k1] = [view.getBigUint64(0, true), view.getBigUint64(8, true)];
  let v0 = k0 ^ 0x736f6d6570736575n;
  let v1 = k1 ^ 0x646f72616e646f6dn;
  let v2 = k0 ^ 0x6c7967656e657261n;
  let v3 = k1 ^ 0x7465646279746573n;
  const rounds = (count: number): void => {
    for (let round = 0; round < count; round++) {
      v0 = (v0 + v1) & mask;
      v1 = rotated(v1, 13n) ^ v0;
      v0 = rotated(v0, 32n);
      v2 = (v2 + v3) & mask;
      v3 = rotated(v3, 16n) ^ v2;
      v0 = (v0 + v3) & mask;
      v3 = rotated(v3, 21n) ^ v0;
      v2 = (v2 + v1) & mask;
      v1 = rotated(v1, 17n) ^ v2;
      v2 = rotated(v2, 32n);
    }
  };
  const padded = new Uint8Array(Math.floor(input.length / 8) * 8 + 8);
  padded.set(input);
  padded[padded.length - 1] = input.length & 0xff;
  const words = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += 8) {
    const word = words.getBigUint64(at, true);
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  v2 ^= 0xffn;
  rounds(4);
  return v0 ^ v1 ^ v2 ^ v3;
}

function packageHash(input: string | Uint8Array): bigint {
  const { h, l } = siphash.hash(packageKey, input);
  return (BigInt(h) << 32n) | BigInt(l);
}

function digits(value: bigint): string {
  return value.toString(16).padStart(16, "0");
}

function reversed(bytes: string): string {
  return Buffer.from(bytes, "hex").reverse().toString("hex");
}
