import {
  base64url,
  fromBase64url,
  readU16,
  readU32,
  readU48,
  writeU16,
  writeU32,
  writeU48,
} from "../bytes.ts";
import { invalid } from "../errors.ts";
import type { ConsumerId } from "../schema.ts";

/** Names one delivery of one message: where it lies, and the stamp that the state of its queue knows it by. */
export interface Receipt extends Pick<ConsumerId, "groupId" | "topicId"> {
  /** A queue of the topic, or `retryPlace`. */
  readonly place: number;
  readonly offset: number;
  readonly stamp: number;
}

const bytesUsed = 22;
/** Filled up to whole groups of three. */
const bytesOfHandle = 24;
/** Four characters for three bytes. */
export const receiptHandleChars = (bytesOfHandle / 3) * 4;

/** The receipt for clients. It is no secret and carries no right: whoever may acknowledge for the group may do so with any. */
export function receiptHandleOf({ groupId, topicId, place, offset, stamp }: Receipt): string {
  const bytes = new Uint8Array(bytesOfHandle);
  writeU32(bytes, 0, groupId);
  writeU32(bytes, 4, topicId);
  writeU16(bytes, 8, place);
  writeU48(bytes, 10, offset);
  writeU48(bytes, 16, stamp);
  return base64url(bytes);
}

/** Reads back what {@link receiptHandleOf} gave. Throws `invalid` for anything else. */
export function readReceiptHandle(handle: string, field: string): Receipt {
  const bytes = handle.length === receiptHandleChars ? fromBase64url(handle) : undefined;
  const isOurs = bytes?.subarray(bytesUsed).every((byte) => byte === 0) ?? false;
  if (bytes === undefined || !isOurs)
    throw invalid(field, handle, "a receiptHandle as receive answered it");
  return {
    groupId: readU32(bytes, 0),
    topicId: readU32(bytes, 4),
    place: readU16(bytes, 8),
    offset: readU48(bytes, 10),
    stamp: readU48(bytes, 16),
  };
}
