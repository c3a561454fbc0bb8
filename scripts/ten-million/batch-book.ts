import { writeU16, writeU32, writeU48 } from "../../src/broker/bytes.ts";
import { crc32c } from "../../src/broker/crc32c.ts";
import {
  batchChecksumAt,
  batchChecksummedFrom,
  batchHeadBytes,
  batchIdBytes,
  encodeBatch,
  readBatch,
} from "../../src/broker/log/batch.ts";
import { randomBytes } from "../audit/workload.ts";

/** A message as it lies in a batch: its length (2 bytes), flags, time, and the body. */
export const messageBytes = 200;
const bodyAt = 4;
const bodyBytes = messageBytes - bodyAt;
export const batchMessagesMin = 500;
export const batchMessagesMax = 1_024;

/** Of a batch's head, as docs/batch-format.md has it. */
const at = { contentBytes: 8, count: 12, firstAttemptAt: 14, bornAt: 20, id: 26 } as const;

/** One batch that was sent: where it landed, and what lies in it. */
interface Sent {
  /** The number that its first message carries; the others follow. */
  readonly number: number;
  readonly count: number;
  readonly checksum: number;
  queue: number;
  offset: number;
}

export interface NewBatch {
  readonly sent: Sent;
  /** To be sent before this memory is asked for another batch. */
  readonly bytes: Uint8Array;
}

/** Makes the batches of one topic, knows where each was acknowledged, and checks what is read of them. */
export class BatchBook {
  readonly topic: string;
  readonly messages: number;
  readonly violations: string[] = [];
  readonly #random: () => number;
  readonly #template: Buffer;
  readonly #sent: Sent[] = [];
  #numbered = 0;

  constructor(topic: string, messages: number, random: () => number) {
    this.topic = topic;
    this.messages = messages;
    this.#random = random;
    this.#template = Buffer.from(
      encodeBatch({
        id: new Uint8Array(batchIdBytes),
        firstAttemptAt: 0,
        bornAt: 0,
        messages: Array.from({ length: batchMessagesMax }, () => ({
          body: randomBytes(random, bodyBytes),
          bornAt: 0,
        })),
      }),
    );
    if (this.#template.length !== batchHeadBytes + batchMessagesMax * messageBytes)
      throw new Error(`a message has not ${messageBytes} bytes`);
  }

  get batches(): number {
    return this.#sent.length;
  }

  /** The next batch, made in `memory`; `undefined` when all messages are given out. */
  next(memory: Buffer): NewBatch | undefined {
    const left = this.messages - this.#numbered;
    if (left === 0) return undefined;
    const wanted =
      batchMessagesMin + Math.floor(this.#random() * (batchMessagesMax - batchMessagesMin + 1));
    const count = Math.min(left, wanted);
    const number = this.#numbered;
    this.#numbered += count;
    const bytes = memory.subarray(0, batchHeadBytes + count * messageBytes);
    this.#template.copy(bytes, 0, 0, bytes.length);
    const now = Date.now();
    writeU32(bytes, at.contentBytes, count * messageBytes);
    writeU16(bytes, at.count, count);
    writeU48(bytes, at.firstAttemptAt, now);
    writeU48(bytes, at.bornAt, now);
    bytes.set(randomBytes(this.#random, batchIdBytes), at.id);
    for (let i = 0; i < count; i++) writeU48(bytes, numberAt(i), number + i);
    const checksum = crc32c(bytes, batchChecksummedFrom);
    writeU32(bytes, batchChecksumAt, checksum);
    const sent: Sent = { number, count, checksum, queue: -1, offset: -1 };
    this.#sent.push(sent);
    return { sent, bytes };
  }

  /** Messages that were acknowledged in a queue. */
  endOf(queue: number): number {
    return this.#sent.reduce((sum, sent) => (sent.queue === queue ? sum + sent.count : sum), 0);
  }

  /**
   * Whether the batch that was read at an offset is the one that was acknowledged there, to the byte. Answers how many
   * messages it holds.
   */
  check(bytes: Uint8Array, queue: number, offset: number): number {
    // Throws where the checksum is not that of the bytes.
    const batch = readBatch(bytes);
    const here = `${this.topic} ${queue}@${offset}`;
    if (batch.bytes.length !== bytes.length) this.violations.push(`${here}: more than a batch`);
    const number = numberIn(bytes, 0);
    const sent = this.#holding(number);
    if (sent === undefined || sent.number !== number || sent.checksum !== batch.checksum)
      this.violations.push(`${here}: not a batch that was sent`);
    else if (sent.queue !== queue || sent.offset !== offset)
      this.violations.push(`${here}: was acknowledged at ${sent.queue}@${sent.offset}`);
    for (let i = 1; i < batch.count; i++) {
      if (numberIn(bytes, i) === number + i) continue;
      this.violations.push(`${here}: message ${i} does not carry ${number + i}`);
      break;
    }
    return batch.count;
  }

  #holding(number: number): Sent | undefined {
    let low = 0;
    let high = this.#sent.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sent[middle]?.number ?? 0) <= number) low = middle + 1;
      else high = middle;
    }
    return this.#sent[low - 1];
  }
}

function numberAt(index: number): number {
  return batchHeadBytes + index * messageBytes + bodyAt;
}

function numberIn(bytes: Uint8Array, index: number): number {
  const start = numberAt(index);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readUIntBE(start, 6);
}
