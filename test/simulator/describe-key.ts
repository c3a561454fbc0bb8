import { gunzipSync } from "node:zlib";
import { concatBytes, hex, readU16, readU32, readU64 } from "../../src/broker/bytes.ts";
import { batchHeadBytes } from "../../src/broker/log/batch.ts";
import { placedBatches, readBatchRow } from "../../src/broker/log/batch-row.ts";
import type { Key, Write } from "../../src/broker/ports/store.ts";
import { decodeTimer } from "../../src/broker/timers/timer.ts";

/** A key as a person reads it, by the table in src/broker/schema.ts. */
export function describeKey({ partition, sort }: Key): string {
  const letter = partitionLetter({ partition });
  if (letter === "M") {
    const shard = `${readU32(partition, 1)}/${partition[5]}`;
    return `M${shard}:${sort.length < 8 ? "" : `@${readU64(sort, 0)} ${hex(sort.subarray(8))}`}`;
  }
  if (letter === "N" && sort.length === 5) return `N:${readU32(sort, 0)}/${sort[4]}`;
  const queue = partition.length >= 7 ? `${readU32(partition, 1)}/${readU16(partition, 5)}` : "";
  const segment =
    partition.length === 17 ? `/${readU64(partition, 7)}.${readU16(partition, 15)}` : "";
  return `${letter}${queue}${segment}:${describeSort(letter, sort)}`;
}

/** What lies in a partition, by the table in src/broker/schema.ts. */
export function partitionLetter({ partition }: Pick<Key, "partition">): string {
  return String.fromCharCode(partition[0] ?? 0);
}

function describeSort(letter: string, sort: Uint8Array): string {
  const number = "SBW".includes(letter) && sort.length >= 8 ? `@${readU64(sort, 0)}` : "";
  return `${number} ${String.fromCharCode(...sort.subarray(number === "" ? 0 : 8))}`.trim();
}

/** A write; of a batch row also the messages in it, by the uids that producers put in front of bodies. */
export function describeWrite(write: Write): string {
  const text = `${write.kind} ${describeKey(write.key)}`;
  if (write.kind !== "put") return text;
  const value = write.value instanceof Uint8Array ? write.value : concatBytes(write.value);
  if (text.startsWith("put M")) {
    const timer = decodeTimer({ key: write.key, value, version: write.version });
    return `${text} [${timer.messageId} ${timer.state}]`;
  }
  if (!text.startsWith("put B")) return text;
  const uids = placedBatches(readBatchRow({ key: write.key, value })).flatMap(({ batch }) => {
    if (batch.large !== undefined) return ["a large batch"];
    const stored = batch.bytes.subarray(batchHeadBytes);
    const content = batch.compressed ? gunzipSync(stored) : stored;
    return (
      Buffer.from(content)
        .toString("latin1")
        .match(/(?:producer|delayer)\d+-\d+-\d+/g) ?? []
    );
  });
  // A binary message carries its uid twice: as its id and in its body.
  return `${text} [${[...new Set(uids)].join(" ")}]`;
}
