import { jitter } from "./chance.ts";
import { BrokerError } from "./errors.ts";
import { Unavailable } from "./ports/failures.ts";
import type { Ports } from "./ports/ports.ts";
import type { CommitResult, Write } from "./ports/store.ts";

const unavailableTriesMax = 3;

/**
 * Commits, again and again under the same keys and versions while the outcome is unknown (rule 5 of the log: putting it
 * elsewhere would double it). Throws `outcome_unknown` where it stays so until `until`.
 */
export async function commitUntilDecided(
  io: Ports,
  writes: readonly Write[],
  until: number,
): Promise<Exclude<CommitResult, { outcome: "unknown" }>> {
  let inDoubt = false;
  for (let tries = 1; io.clock.now() <= until; tries++) {
    try {
      const result = await io.store.commit(writes, until);
      if (result.outcome !== "unknown") return result;
      inDoubt = true;
    } catch (error) {
      if (!(error instanceof Unavailable) || (!inDoubt && tries >= unavailableTriesMax))
        throw error;
    }
    await io.clock.sleep(10 + jitter(io.random, Math.min(1_000, 20 * 2 ** tries)));
  }
  if (inDoubt) throw outcomeUnknown();
  throw new Unavailable("the store could not be reached in time");
}

export function outcomeUnknown(): BrokerError {
  return new BrokerError("outcome_unknown", "it was not decided in time; it may have happened");
}
