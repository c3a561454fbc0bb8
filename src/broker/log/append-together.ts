import { commitUntilDecided, outcomeUnknown } from "../decided-commit.ts";
import { BrokerError } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Ports } from "../ports/ports.ts";
import type { Write } from "../ports/store.ts";
import type { Batch } from "./batch.ts";
import { type Appended, refusedOf, Superseded } from "./pending-append.ts";
import { backoffMs, patienceMs, type QueueAppender, type RowAtEnd } from "./queue-appender.ts";

/** What else the commit does, given where the batches land. Something in it makes sure that it is applied once. */
export type AlongAll = (places: readonly Appended[]) => readonly Write[];

/** A batch and the queue that it goes to. */
export interface OfQueue {
  readonly name: string;
  readonly appender: QueueAppender;
  readonly batch: Batch;
  /** A segment that is opened for this batch keeps it so long (ms). */
  readonly retentionMs: number;
}

/**
 * Puts batches at the ends of several queues in one commit. The queues are held meanwhile, in the order of their names, so
 * that two who want the same ones do not wait for each other; in other processes others may be faster, and then all ends
 * are looked at again. Nothing is looked up by batch id: what goes along makes sure that it happens once.
 */
export async function appendTogether(
  io: Ports,
  parts: readonly OfQueue[],
  along: AlongAll,
): Promise<readonly Appended[]> {
  const giveUpAt = io.clock.now() + patienceMs;
  const inOrder = [...parts].sort((a, b) => (a.name < b.name ? -1 : 1));
  const releases: (() => void)[] = [];
  try {
    for (const { appender } of inOrder) releases.push(await appender.hold(io));
    while (io.clock.now() <= giveUpAt) {
      const issuedAt = io.clock.now();
      const rows = await Promise.all(
        parts.map(({ appender, batch, retentionMs }) => appender.rowAtEnd(io, batch, retentionMs)),
      );
      if (await commitRows(io, rows, along(rows))) return rows;
      await io.clock.sleep(backoffMs(io, issuedAt));
    }
  } finally {
    for (const release of releases) release();
  }
  throw new BrokerError("contention", "others were always faster; send to fewer queues at once", {
    queues: parts.length,
  });
}

/** Whether it was applied; `false` where others were faster at the end of a queue. */
async function commitRows(
  io: Ports,
  rows: readonly RowAtEnd[],
  along: readonly Write[],
): Promise<boolean> {
  const until = Math.min(io.clock.now() + limits.appendDeadlineMs, ...rows.map((row) => row.until));
  const writes = [...rows.flatMap((row) => row.writes), ...along];
  let tell: (row: RowAtEnd, index: number) => void = (row) => row.failed();
  try {
    const result = await commitUntilDecided(io, writes, until);
    if (result.outcome === "applied") {
      if (io.clock.now() > until) throw outcomeUnknown();
      tell = (row) => row.landed();
      return true;
    }
    const { current } = result;
    tell = (row, index) => row.failed(current.slice(2 * index, 2 * index + 2));
    const refused = refusedOf(along, current.slice(2 * rows.length));
    if (refused.length > 0) throw new Superseded(refused);
    return false;
  } finally {
    rows.forEach(tell);
  }
}
