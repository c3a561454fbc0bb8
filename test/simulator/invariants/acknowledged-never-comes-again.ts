import type { Invariant } from "../auditor.ts";
import { clockErrorsMs, deliveriesByMessage } from "./deliveries.ts";

/** What a receiver was told is acknowledged is given to nobody of the group any more, and is no dead letter. */
export const acknowledgedNeverComesAgain: Invariant = {
  name: "acknowledged never comes again",
  *check(seen) {
    const { deadLetters } = seen.consumption;
    const dead = new Set(deadLetters.map(({ group, place }) => `${group} ${place}`));
    for (const deliveries of deliveriesByMessage(seen)) {
      for (const { acknowledged, uid, receiver, group, place } of deliveries) {
        if (acknowledged === undefined) continue;
        const { endedAt = Number.POSITIVE_INFINITY } = acknowledged;
        const again = deliveries.find(({ grantedAt }) => grantedAt > endedAt + clockErrorsMs);
        if (again !== undefined)
          yield { what: `${again.receiver} was given what ${receiver} had acknowledged`, uid };
        if (dead.has(`${group} ${place}`))
          yield { what: `what ${receiver} had acknowledged is a dead letter`, uid };
      }
    }
  },
};
