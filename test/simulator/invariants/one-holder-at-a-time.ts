import type { Invariant } from "../auditor.ts";
import { clockErrorsMs, deliveriesByMessage } from "./deliveries.ts";

/** While a message is invisible nobody else of the group is given it. */
export const oneHolderAtATime: Invariant = {
  name: "one holder at a time",
  *check(seen) {
    for (const deliveries of deliveriesByMessage(seen)) {
      for (const earlier of deliveries) {
        for (const later of deliveries) {
          if (later === earlier || later.grantedAt < earlier.grantedAt) continue;
          if (later.grantedAt === earlier.grantedAt && later.handle < earlier.handle) continue;
          if (later.grantedAt >= earlier.until - clockErrorsMs || earlier.maybeAcknowledged)
            continue;
          yield {
            what: `${later.receiver} of ${later.group} was given what ${earlier.receiver} held for ${earlier.until - later.grantedAt} ms more`,
            uid: earlier.uid,
          };
        }
      }
    }
  },
};
