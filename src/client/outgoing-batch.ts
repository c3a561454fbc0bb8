import { concatBytes, hex } from "../broker/bytes.ts";
import { limits } from "../broker/limits.ts";
import { batchHeadBytes, putHead } from "../broker/log/batch.ts";
import { ByteWriter } from "../broker/log/byte-writer.ts";
import { appendMessage, decodeMessages, type Message } from "../broker/log/message.ts";
import { bufferBytesOf, type StoredReceipt } from "./message.ts";
import type { TassoError } from "./tasso-error.ts";

/** Told once of each message what became of it: an error, or where it landed. */
export type Settle = (error: TassoError | undefined, receipt?: StoredReceipt) => void;

/** Where a batch landed: message `i` at `offset + i`. */
export interface Landed {
  readonly topic: string;
  readonly broker: string;
  readonly queue: number;
  readonly offset: number;
  readonly batchId: Uint8Array;
}

export interface BatchOptions {
  /** From when on it may be sent though others might join. */
  readonly dueAt: number;
  /** When its attempts end; absent: so long after it is first sent. */
  readonly deadline?: number | undefined;
  /** Nobody joins: it has a signal or a time of its own. */
  readonly alone?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told how much of the buffer is free again, once a batch. */
  readonly release?: ((bytes: number) => void) | undefined;
}

/** Messages on their way to one queue, encoded as they come, so that a message that waits is its bytes and little more. */
export class OutgoingBatch {
  readonly options: BatchOptions;
  readonly settled: Promise<void>;
  wasMoved = false;
  #bufferBytes = 0;
  readonly #bornAt: number;
  readonly #writer = new ByteWriter(spare.pop() ?? new Uint8Array(1_024), batchHeadBytes);
  #encodings = 0;
  readonly #settles: Settle[] = [];
  /** Those that brought an id of their own. */
  readonly #ownIds = new Map<number, string>();
  #resolve: () => void = () => undefined;
  #compressed: Uint8Array | undefined;

  constructor(bornAt: number, options: BatchOptions) {
    this.#bornAt = bornAt;
    this.options = options;
    this.settled = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get count(): number {
    return this.#settles.length;
  }

  get contentBytes(): number {
    return this.#writer.length - batchHeadBytes;
  }

  /** Whether one more fits what a broker takes. */
  hasRoomFor({ body }: Message): boolean {
    if (this.count === 0) return true;
    const most = this.#writer.length + body.length + besideBodyMax;
    return this.count < limits.messagesPerBatchMax && most <= limits.batchBytesMax;
  }

  /** @param bufferBytes what the message counts as in the buffer */
  add(message: Message, settle: Settle, bufferBytes = 0): void {
    this.#bufferBytes += bufferBytes;
    appendMessage(this.#writer, message, this.#bornAt);
    if (message.messageId !== undefined) this.#ownIds.set(this.count, message.messageId);
    this.#settles.push(settle);
  }

  /** Compresses what is larger than that, where it becomes smaller by it. */
  async compress(overBytes: number): Promise<void> {
    if (this.contentBytes <= overBytes) return;
    const packed = await gzip(this.#content());
    if (packed.length < this.contentBytes) this.#compressed = packed;
  }

  /** As it goes over the wire. The bytes may be used again once it has landed at the first attempt. */
  encoded(id: Uint8Array, firstAttemptAt: number): Uint8Array {
    const packed = this.#compressed;
    const whole =
      packed === undefined
        ? this.#writer.bytes()
        : concatBytes([new Uint8Array(batchHeadBytes), packed]);
    // An attempt before may still be on its way with its own head.
    const bytes = this.#encodings++ === 0 ? whole : whole.slice();
    const { count } = this;
    putHead(bytes, {
      id,
      firstAttemptAt,
      bornAt: this.#bornAt,
      count,
      compressed: packed !== undefined,
    });
    return bytes;
  }

  /** Its messages again, to be sent otherwise. */
  messages(): {
    readonly message: Message;
    readonly settle: Settle;
    readonly bufferBytes: number;
  }[] {
    const messages = decodeMessages(this.#content(), this.count, this.#bornAt);
    return messages.map((message, index) => ({
      message,
      settle: this.#settles[index] as Settle,
      bufferBytes: bufferBytesOf(message),
    }));
  }

  /** @param attempts how many it took: memory that an attempt without answer may still read is not used again */
  landed({ topic, broker, queue, offset, batchId }: Landed, attempts: number): void {
    const idStart = hex(batchId);
    for (let index = 0; index < this.#settles.length; index++) {
      const messageId = this.#ownIds.get(index) ?? idAt(idStart, queue, index);
      call(this.#settles[index], undefined, {
        messageId,
        topic,
        queue,
        offset: offset + index,
        broker,
      });
    }
    if (attempts === 1 && spare.length < spareMax) spare.push(this.#writer.memory);
    this.#end();
  }

  failed(error: TassoError): void {
    for (const settle of this.#settles) call(settle, error);
    this.#end();
  }

  /** Its messages go with others, and are told there. */
  moved(): void {
    this.wasMoved = true;
    this.#end();
  }

  #content(): Uint8Array {
    return this.#writer.bytes().subarray(batchHeadBytes);
  }

  #end(): void {
    this.options.release?.(this.#bufferBytes);
    this.#resolve();
  }
}

/** Memory of batches that have landed, for those to come: else each leaves some 100 KB behind, and garbage is collected late. */
const spare: Uint8Array[] = [];
const spareMax = 32;

/** More than anything else that a message may hold, with its lengths. */
const besideBodyMax = limits.propertyBytesMax + 4_096 + batchHeadBytes;

/** As `derivedMessageId` makes it, one batch after the other, without writing the batch's part each time. */
function idAt(batchDigits: string, queue: number, index: number): string {
  return batchDigits + hex4(queue) + hex4(index);
}

function hex4(number: number): string {
  return number.toString(16).padStart(4, "0");
}

/** What a callback throws is its owner's; it must not keep others from being told. */
function call(settle: Settle | undefined, error: TassoError | undefined, receipt?: StoredReceipt) {
  try {
    settle?.(error, receipt);
  } catch (thrown) {
    queueMicrotask(() => {
      throw thrown;
    });
  }
}

async function gzip(bytes: Uint8Array): Promise<Uint8Array> {
  const packed = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
  const stream = packed.pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
