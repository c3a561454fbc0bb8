import { limits } from "../limits.ts";
import { Damaged } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import type { Write } from "../ports/store.ts";
import { dueAtOf, partitions } from "../schema.ts";
import { type DueWork, putOff, readWork } from "./work.ts";

/** What becomes of a piece of work: it is done and goes with these writes in one commit, or more of it is left. */
export type WorkDone = { readonly writes: readonly Write[] } | "again";

/** Work on what is damaged, or that is damaged itself, is tried again so much later (ms): others must not wait behind it. */
const putOffMs = 10 * 60_000;

export interface Tick {
  /** More may be due now. */
  readonly more: boolean;
  /** When the next piece is due, where none is due now. */
  readonly nextAt: number | undefined;
  /** Why a piece was put off. */
  readonly damaged?: Damaged;
}

/** Does one bounded step of the work that was due first. Safe to repeat, to interrupt, and to run several times at once. */
export async function tick(
  io: Ports,
  perform: (io: Ports, due: DueWork) => Promise<WorkDone>,
): Promise<Tick> {
  const { items } = await io.store.scan({ partition: partitions.work, limit: 1 });
  const [item] = items;
  if (item === undefined) return { more: false, nextAt: undefined };
  const dueAt = dueAtOf(item.key.sort);
  const now = io.clock.now();
  if (dueAt > now) return { more: false, nextAt: dueAt };
  let damaged: Damaged | undefined;
  let result: WorkDone;
  try {
    result = await perform(io, readWork(item));
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    damaged = error;
    result = { writes: [putOff(io, item, now + putOffMs)] };
  }
  if (result !== "again") {
    // Refused: somebody else changed what this was judged by, and it is judged again.
    await io.store.commit(
      [{ kind: "delete", key: item.key }, ...result.writes],
      io.clock.now() + limits.appendDeadlineMs,
    );
  }
  return { more: true, nextAt: undefined, ...(damaged === undefined ? {} : { damaged }) };
}
