import { newVersion } from "../chance.ts";
import type { Ports } from "../ports/ports.ts";
import type { Item, Write } from "../ports/store.ts";
import { decodeRecord, encodeRecord } from "../record.ts";
import { dueAtOf, keyPutOff, keys, type QueueId, type SegmentId } from "../schema.ts";

/** A segment of a queue, named in full. */
export interface SegmentOfQueue extends QueueId, SegmentId {}

/**
 * Something to be done later. It is stored in the commit that makes it necessary and removed in the one that does it,
 * so nobody has to look for work, and none is lost.
 */
export type Work =
  /** Seals a segment that got old. */
  | ({ readonly kind: "seal" } & SegmentOfQueue)
  /** Puts a sealed segment into a blob. */
  | ({ readonly kind: "archive" } & SegmentOfQueue)
  /** Deletes the rows of a segment that is archived or trimmed. */
  | ({ readonly kind: "drop-rows" } & SegmentOfQueue)
  /** Takes a segment whose retention is over out of the directory. */
  | ({ readonly kind: "trim" } & SegmentOfQueue)
  /** Deletes the blob of a segment that is trimmed; `round` 1 comes again a while later. */
  | ({ readonly kind: "drop-blob"; readonly round: 1 | 2 } & SegmentOfQueue)
  /** Deletes the large batches of a day that has passed; round 2 comes again for what was held up on its way. */
  | { readonly kind: "drop-large"; readonly day: number; readonly round: 1 | 2 }
  /** Deletes all that belonged to a topic; round 2 comes again for what was held up on its way. */
  | {
      readonly kind: "delete-topic";
      readonly topicId: number;
      readonly name: string;
      readonly queues: number;
      readonly round: 1 | 2;
    }
  /** Looks after the half messages of a producer group that nobody ends. */
  | { readonly kind: "check-back"; readonly producerGroup: string }
  /** Deletes all that belonged to a consumer group, in these topics. */
  | {
      readonly kind: "delete-group";
      readonly groupId: number;
      readonly name: string;
      readonly topicIds: readonly number[];
    };

export interface DueWork {
  readonly dueAt: number;
  readonly work: Work;
}

/** The same work at the same time has the same key: it may be stored twice and is there once. */
function keyOf({ dueAt, work }: DueWork) {
  const subject = subjectOf(work);
  const segment = "base" in work ? `/${work.queue}/${work.base}.${work.part}` : "";
  const round = "round" in work ? `/${work.round}` : "";
  return keys.work(dueAt, `${work.kind}/${subject}${segment}${round}`);
}

function subjectOf(work: Work): number | string {
  if (work.kind === "drop-large") return work.day;
  if (work.kind === "check-back") return work.producerGroup;
  return work.kind === "delete-group" ? work.groupId : work.topicId;
}

export function putWork(io: Ports, due: DueWork): Write {
  return {
    kind: "put",
    key: keyOf(due),
    value: encodeRecord(due.work),
    version: newVersion(io.random),
  };
}

/** Stores it under a later time, as it lies there, readable or not. */
export function putOff(io: Ports, { key, value }: Item, dueAt: number): Write {
  return { kind: "put", key: keyPutOff(key, dueAt), value, version: newVersion(io.random) };
}

/** Deletes it whether or not it is there. */
export function deleteWork(due: DueWork): Write {
  return { kind: "delete", key: keyOf(due) };
}

export function readWork({ key, value }: Item): DueWork {
  return { dueAt: dueAtOf(key.sort), work: decodeRecord<Work>("work item", value) };
}
