import type { Message } from "../broker/log/message.ts";
import { type BatchOptions, OutgoingBatch, type Settle } from "./outgoing-batch.ts";

/** A call joins a batch whose time began at most this share of its own ago: it loses no more than that. */
const joinShare = 0.1;

export interface Entry extends BatchOptions {
  readonly message: Message;
  readonly settle: Settle;
  /** What the message counts as in the buffer, where it is in it. */
  readonly bufferBytes?: number;
  /** From the call to its deadline (ms), where it has one. */
  readonly timeoutMs?: number;
}

/** Batches that wait one behind the other; the last one may still be joined. */
export class BatchLine {
  readonly #batchBytes: number;
  readonly #waiting: OutgoingBatch[] = [];
  #closed = true;

  /** @param batchBytes a batch of this size is joined no more. */
  constructor(batchBytes: number) {
    this.#batchBytes = batchBytes;
  }

  get empty(): boolean {
    return this.#waiting.length === 0;
  }

  /** When the first one is to go; `undefined` where none waits. */
  get dueAt(): number | undefined {
    const [first] = this.#waiting;
    if (first === undefined) return undefined;
    const joined = this.#waiting.length === 1 && !this.#closed;
    return joined ? first.options.dueAt : 0;
  }

  /** Answers whether a batch was begun or filled: then somebody has to look whether it can go. */
  add(entry: Entry, now: number): boolean {
    const last = this.#waiting.at(-1);
    if (last !== undefined && !this.#closed && joins(entry, last)) {
      last.add(entry.message, entry.settle, entry.bufferBytes);
      this.#closed = last.contentBytes >= this.#batchBytes || last.count >= 1_024;
      return this.#closed;
    }
    const { dueAt, deadline, alone, signal, release } = entry;
    const batch = new OutgoingBatch(now, { dueAt, deadline, alone, signal, release });
    batch.add(entry.message, entry.settle, entry.bufferBytes);
    this.#waiting.push(batch);
    this.#closed = alone === true || batch.contentBytes >= this.#batchBytes;
    return true;
  }

  /** Behind all others. Nobody joins it. */
  push(batch: OutgoingBatch): void {
    this.#waiting.push(batch);
    this.#closed = true;
  }

  /** The first one, if it is due. Nobody joins it any more. */
  take(now: number): OutgoingBatch | undefined {
    const { dueAt } = this;
    return dueAt !== undefined && dueAt <= now ? this.#waiting.shift() : undefined;
  }

  /** What waits is due now. */
  hasten(): void {
    this.#closed = true;
  }

  takeAll(): OutgoingBatch[] {
    return this.#waiting.splice(0);
  }

  /** Those that wait. */
  list(): readonly OutgoingBatch[] {
    return this.#waiting;
  }
}

function joins({ message, alone, deadline, timeoutMs = 0 }: Entry, batch: OutgoingBatch): boolean {
  const { options } = batch;
  if (alone || options.alone || !batch.hasRoomFor(message)) return false;
  if (deadline === undefined || options.deadline === undefined)
    return deadline === options.deadline;
  return deadline - options.deadline <= timeoutMs * joinShare;
}
