import { fromHex, hex, readU48, writeU48 } from "../bytes.ts";
import { type TimerName, timerIdBytes } from "./timer.ts";

const instantBytes = 6;
export const recallHandleChars = 2 * (instantBytes + timerIdBytes);

/** The name of a waiting message for clients: hexadecimal digits. */
export function recallHandleOf({ dueAt, id }: TimerName): string {
  const instant = new Uint8Array(instantBytes);
  writeU48(instant, 0, dueAt);
  return hex(instant) + hex(id);
}

/** Reads back what {@link recallHandleOf} gave: `recallHandleChars` hexadecimal digits. */
export function readRecallHandle(handle: string): TimerName {
  const bytes = fromHex(handle);
  return { dueAt: readU48(bytes, 0), id: bytes.subarray(instantBytes) };
}
