import { encodeRecord } from "../record.ts";

/** A directory entry: what is known of the segment that begins at the base offset in its key. */
export interface Segment {
  readonly state: "open";
  /** When it was made (broker time, ms). */
  readonly openedAt: number;
}

export function encodeSegment(segment: Segment): Uint8Array {
  return encodeRecord(segment);
}
