import type { Message } from "../../src/broker/log/message.ts";

export interface GoldenBatch {
  readonly file: string;
  readonly gzip: boolean;
  readonly batch: {
    readonly id: Uint8Array;
    readonly firstAttemptAt: number;
    readonly bornAt: number;
    readonly messages: readonly Message[];
  };
}

const bornAt = 1_700_000_000_000;
const text = (value: string) => new TextEncoder().encode(value);
const idFrom = (first: number) => Uint8Array.from({ length: 16 }, (_, index) => first + index);

/** What the golden files hold. A file is never made to fit the code: see README.md. */
export const goldenBatches: readonly GoldenBatch[] = [
  {
    file: "plain.bin",
    gzip: false,
    batch: {
      id: idFrom(0),
      firstAttemptAt: 0,
      bornAt,
      messages: [{ body: text("hello"), bornAt }],
    },
  },
  {
    file: "all-fields.bin",
    gzip: false,
    batch: {
      id: idFrom(0x10),
      firstAttemptAt: bornAt + 5,
      bornAt,
      messages: [
        {
          body: Uint8Array.of(0, 1, 2, 0xff),
          bornAt: bornAt - 300,
          messageId: "order-4711-created",
          tag: "created",
          keys: ["4711", "Müller"],
          properties: { region: "eu", größe: "L", empty: "" },
          messageGroup: "customer-7",
        },
      ],
    },
  },
  {
    file: "several.bin",
    gzip: false,
    batch: {
      id: idFrom(0x20),
      firstAttemptAt: bornAt,
      bornAt,
      messages: [
        { body: text("first"), bornAt },
        { body: text("x".repeat(200)), bornAt: bornAt + 1, tag: "long" },
        { body: text("🐎"), bornAt: bornAt + 100_000, keys: ["k"] },
      ],
    },
  },
  {
    file: "gzip.bin",
    gzip: true,
    batch: {
      id: idFrom(0x30),
      firstAttemptAt: 0,
      bornAt,
      messages: Array.from({ length: 20 }, (_, index) => ({
        body: text(`{"order":${index},"state":"created"}`),
        bornAt: bornAt + index,
        tag: "created",
      })),
    },
  },
];
