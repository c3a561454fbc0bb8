import type { Invariant } from "../auditor.ts";
import type { Delivery } from "../consumption.ts";
import { clockErrorsMs } from "./deliveries.ts";

/** In an orderly group a message group is in one hand at a time, and what comes later in it does not overtake. */
export const orderWithinAMessageGroup: Invariant = {
  name: "order within a message group",
  *check({ consumption }) {
    const orderly = new Set(
      consumption.groups.filter((plan) => plan.orderly).map(({ name }) => name),
    );
    const chains = new Map<string, Delivery[]>();
    for (const delivery of consumption.deliveries) {
      const { group, queue, messageGroup } = delivery;
      if (!orderly.has(group) || messageGroup === undefined) continue;
      const name = `${group} ${queue} ${messageGroup}`;
      chains.set(name, [...(chains.get(name) ?? []), delivery]);
    }
    for (const deliveries of chains.values()) {
      for (const a of deliveries) {
        for (const b of deliveries) {
          const { uid } = b;
          const ended = a.acknowledged?.endedAt ?? Number.POSITIVE_INFINITY;
          if (a.offset > b.offset && b.grantedAt > ended + clockErrorsMs)
            yield {
              what: `${b.receiver} was given it after ${a.uid}, which came later, was done`,
              uid,
            };
          // Given by another request while this one was in hand.
          const isOther = a.request !== b.request && b.grantedAt > a.grantedAt + clockErrorsMs;
          const isHeld = b.grantedAt < a.until - clockErrorsMs && !a.maybeAcknowledged;
          if (isOther && isHeld)
            yield {
              what: `${b.receiver} was given it while ${a.receiver} held ${a.uid} of its group`,
              uid,
            };
        }
      }
    }
  },
};
