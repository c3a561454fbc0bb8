import { concatBytes } from "../../src/broker/bytes.ts";
import { readBatchRow } from "../../src/broker/log/batch-row.ts";
import type { Segment } from "../../src/broker/log/segment.ts";
import type { Write } from "../../src/broker/ports/store.ts";
import { decodeRecord } from "../../src/broker/record.ts";
import { decodeTimer } from "../../src/broker/timers/timer.ts";
import { partitionLetter } from "./describe-key.ts";

/** What a commit does to the log beyond appending, and to what waits, for the counts of a run. */
export function deedsOf(writes: readonly Write[]): Set<string> {
  const deeds = new Set<string>();
  const states = writes.flatMap((write) =>
    write.kind === "put" && partitionLetter(write.key) === "S" && write.value instanceof Uint8Array
      ? [decodeRecord<Segment>("segment", write.value).state]
      : [],
  );
  if (states.includes("sealed")) deeds.add("segment sealed");
  if (states.includes("archived")) deeds.add("segment archived");
  const deleted = new Set(
    writes.filter(({ kind }) => kind === "delete").map(({ key }) => partitionLetter(key)),
  );
  if (deleted.has("S")) deeds.add(states.includes("empty") ? "segment lost" : "segments trimmed");
  if (deleted.has("B")) deeds.add("rows dropped");
  if (deleted.has("N")) deeds.add("minute given up");
  for (const write of writes) {
    if (write.kind !== "put" || partitionLetter(write.key) !== "M") continue;
    const value = write.value instanceof Uint8Array ? write.value : concatBytes(write.value);
    deeds.add(`timer ${decodeTimer({ ...write, value }).state}`);
  }
  if (writes.some(appendsLarge)) deeds.add("large batch appended");
  return deeds;
}

function appendsLarge(write: Write): boolean {
  if (write.kind !== "put" || partitionLetter(write.key) !== "B") return false;
  const value = write.value instanceof Uint8Array ? write.value : concatBytes(write.value);
  return readBatchRow({ key: write.key, value }).isLarge;
}
