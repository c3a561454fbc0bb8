import type { Invariant } from "../auditor.ts";
import { forwardsKeptMs } from "../forwarding.ts";

/**
 * All that a forward sends and stores is there once and its messages are acknowledged, or nothing of it is and they are not,
 * unless by another forward. Everybody is told the same of it.
 */
export const aForwardIsAllOrNothing: Invariant = {
  name: "a forward is all or nothing and once",
  *check({ finalAt, forwarding: { enlisted, forwards, found, rows, drained } }) {
    const isKept = ({ startedAt }: { readonly startedAt: number }) =>
      startedAt >= finalAt - forwardsKeptMs;
    const landedBySource = new Map<string, string[]>();
    for (const { uid, sources, hasRow, results, stale } of forwards.filter(isKept)) {
      const inHop = found.get("hop")?.get(uid) ?? 0;
      const inLedger = found.get("ledger")?.get(uid) ?? 0;
      const isLanded = inLedger > 0 || inHop > 0;
      const there = `${inHop} in hop, ${inLedger} in ledger, ${rows.has(uid) ? "a" : "no"} row`;
      const isWhole = inHop === 2 && inLedger === 1 && rows.has(uid) === hasRow;
      if ((isLanded || rows.has(uid)) && !isWhole) yield { what: `${uid}: ${there}`, uid };
      if (results.size > 0 && !isLanded) yield { what: `${uid} was told and is not there`, uid };
      if (results.size > 1) yield { what: `${uid}: ${[...results].join(" and ")}`, uid };
      if (stale && isLanded) yield { what: `${uid} was refused and is there`, uid };
      if (!isLanded) continue;
      for (const source of sources) {
        landedBySource.set(source, [...(landedBySource.get(source) ?? []), uid]);
        if (drained.has(source))
          yield { what: `${source} was forwarded by ${uid} and came again`, uid: source };
      }
    }
    for (const [uid, by] of landedBySource)
      if (by.length > 1) yield { what: `${uid} was forwarded by ${by.join(" and ")}`, uid };
    for (const { uid } of enlisted.filter(isKept))
      if (found.get("inbox")?.has(uid) && !landedBySource.has(uid) && !drained.has(uid))
        yield { what: `${uid} was acknowledged and nothing came of it`, uid };
  },
};
