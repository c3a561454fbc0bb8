import { decodeRecord, encodeRecord } from "../record.ts";

/** How far a consumer group is in one queue. */
export interface GroupOffset {
  /** The offset of the next message to be consumed. */
  readonly next: number;
}

export function encodeGroupOffset(offset: GroupOffset): Uint8Array {
  return encodeRecord(offset);
}

export function decodeGroupOffset(value: Uint8Array): GroupOffset {
  return decodeRecord<GroupOffset>("group offset", value);
}
