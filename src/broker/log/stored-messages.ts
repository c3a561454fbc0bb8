import type { Compression } from "../ports/compression.ts";
import { Damaged } from "../ports/failures.ts";
import { decodeBatch, derivedMessageId } from "./batch.ts";
import { BatchFormatError } from "./batch-format-error.ts";
import type { PlacedBatch } from "./batch-row.ts";
import type { Message } from "./message.ts";

/** A message with what its place in the log says of it. */
export interface StoredMessage {
  readonly offset: number;
  readonly storedAt: number;
  /** The one that it brought, or else the one that is made from its batch's id. */
  readonly messageId: string;
  readonly message: Message;
}

/** The messages of a batch that lies in `queue`. Throws `Damaged`. */
export async function storedMessages(
  { base, storedAt, batch }: PlacedBatch,
  { queue, compression }: { readonly queue: number; readonly compression: Compression },
): Promise<StoredMessage[]> {
  let messages: readonly Message[];
  try {
    messages = await decodeBatch(batch, compression);
  } catch (error) {
    if (error instanceof BatchFormatError) throw new Damaged("batch", { cause: error });
    throw error;
  }
  return messages.map((message, index) => ({
    offset: base + index,
    storedAt,
    messageId: message.messageId ?? derivedMessageId(batch.id, queue, index),
    message,
  }));
}
