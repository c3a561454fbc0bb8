import { hex } from "../broker/bytes.ts";
import { limits } from "../broker/limits.ts";
import { batchHeadBytes, batchOf } from "../broker/log/batch.ts";
import { ByteWriter } from "../broker/log/byte-writer.ts";
import { appendMessage, decodeMessages, type Message } from "../broker/log/message.ts";
import type { StoredReceipt } from "./message.ts";
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
}

/** Messages on their way to one queue, encoded as they come, so that a message that waits is its bytes and little more. */
export class OutgoingBatch {
  readonly options: BatchOptions;
  readonly settled: Promise<void>;
  wasMoved = false;
  readonly #bornAt: number;
  readonly #writer = new ByteWriter();
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
    return this.#writer.length;
  }

  /** Whether one more fits what a broker takes. */
  hasRoomFor({ body }: Message): boolean {
    if (this.count === 0) return true;
    const most = this.#writer.length + body.length + besideBodyMax;
    return this.count < limits.messagesPerBatchMax && most <= limits.batchBytesMax;
  }

  add(message: Message, settle: Settle): void {
    appendMessage(this.#writer, message, this.#bornAt);
    if (message.messageId !== undefined) this.#ownIds.set(this.count, message.messageId);
    this.#settles.push(settle);
  }

  /** Compresses what is larger than that, where it becomes smaller by it. */
  async compress(overBytes: number): Promise<void> {
    if (this.contentBytes <= overBytes) return;
    const packed = await gzip(this.#writer.bytes());
    if (packed.length < this.contentBytes) this.#compressed = packed;
  }

  /** As it goes over the wire. */
  encoded(id: Uint8Array, firstAttemptAt: number): Uint8Array {
    const compressed = this.#compressed !== undefined;
    const content = this.#compressed ?? this.#writer.bytes();
    return batchOf({
      id,
      firstAttemptAt,
      bornAt: this.#bornAt,
      content,
      count: this.count,
      compressed,
    });
  }

  /** Its messages again, to be sent otherwise. */
  messages(): { readonly message: Message; readonly settle: Settle }[] {
    const messages = decodeMessages(this.#writer.bytes(), this.count, this.#bornAt);
    return messages.map((message, index) => ({
      message,
      settle: this.#settles[index] as Settle,
    }));
  }

  landed({ topic, broker, queue, offset, batchId }: Landed): void {
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
    this.#resolve();
  }

  failed(error: TassoError): void {
    for (const settle of this.#settles) call(settle, error);
    this.#resolve();
  }

  /** Its messages go with others, and are told there. */
  moved(): void {
    this.wasMoved = true;
    this.#resolve();
  }
}

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
