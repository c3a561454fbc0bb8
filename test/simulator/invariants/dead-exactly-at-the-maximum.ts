import type { Invariant } from "../auditor.ts";

/** A message is given out as often as the group says, and only then is a dead letter, once. */
export const deadExactlyAtTheMaximum: Invariant = {
  name: "dead exactly at the maximum",
  *check({ consumption }) {
    const { groups, deliveries, deadLetters } = consumption;
    for (const { name, maxAttempts } of groups) {
      for (const { group, attempt, uid } of deliveries)
        if (group === name && attempt > maxAttempts)
          yield { what: `${name} was given it for the ${attempt}th time of ${maxAttempts}`, uid };
      const seen = new Set<string>();
      for (const { group, attempts, uid, place } of deadLetters) {
        if (group !== name) continue;
        if (attempts !== maxAttempts)
          yield { what: `dead in ${name} after ${attempts} of ${maxAttempts} attempts`, uid };
        if (seen.has(place)) yield { what: `it is two dead letters of ${name}`, uid };
        seen.add(place);
      }
    }
  },
};
