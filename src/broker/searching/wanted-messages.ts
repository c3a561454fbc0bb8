import { fromHex } from "../bytes.ts";
import { invalid } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Batch } from "../log/batch.ts";
import type { StoredMessage } from "../log/stored-messages.ts";

/** Exactly one of them. */
export interface SearchTerm {
  /** A key among the message's keys. */
  readonly key?: string | undefined;
  readonly messageId?: string | undefined;
}

/** Which messages a search is for. */
export interface WantedMessages {
  /** The only queue where they may lie; without it they may lie in all. */
  readonly queue?: number;
  /** Whether a batch has to be decoded, by its head. */
  mayLieIn(batch: Batch): boolean;
  matches(message: StoredMessage): boolean;
}

/** Throws `invalid` unless exactly one term is given. */
export function wantedMessages({ key, messageId }: SearchTerm, queues: number): WantedMessages {
  if (key !== undefined && messageId !== undefined)
    throw invalid("messageId", messageId, "absent where key is given");
  if (messageId !== undefined) {
    const matches = (message: StoredMessage) => message.messageId === messageId;
    return derivedFrom(messageId, queues, matches) ?? { mayLieIn: () => true, matches };
  }
  if (key === undefined) throw invalid("key", "absent", "given, or else messageId");
  const matches = ({ message }: StoredMessage) => message.keys?.includes(key) === true;
  return { mayLieIn: () => true, matches };
}

/**
 * An id that the broker made says which queue and which batch. One that a producer brought may look the same and is then
 * not found; of ids of 40 random digits one in half a million does, in a topic of 8 queues.
 */
function derivedFrom(
  messageId: string,
  queues: number,
  matches: WantedMessages["matches"],
): WantedMessages | undefined {
  const [, batchId = "", queueDigits = "", indexDigits = ""] =
    /^([0-9a-f]{32})([0-9a-f]{4})([0-9a-f]{4})$/.exec(messageId) ?? [];
  const queue = Number.parseInt(queueDigits, 16);
  const index = Number.parseInt(indexDigits, 16);
  if (!(queue < queues && index < limits.messagesPerBatchMax)) return undefined;
  const idKey = String.fromCharCode(...fromHex(batchId));
  return { queue, mayLieIn: (batch) => batch.idKey === idKey && index < batch.count, matches };
}
