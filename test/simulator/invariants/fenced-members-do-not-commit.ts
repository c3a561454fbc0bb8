import type { Invariant } from "../auditor.ts";

/** Once somebody was told that a queue is his, nobody of an earlier generation commits there. */
export const fencedMembersDoNotCommit: Invariant = {
  name: "fenced members do not commit",
  *check({ consumption: { commits, told } }) {
    for (const commit of commits) {
      for (const owner of told) {
        if (owner.group !== commit.group || owner.member === commit.member) continue;
        if (owner.generation <= commit.generation || owner.seenAt >= commit.startedAt) continue;
        if (owner.queues.includes(commit.queue))
          yield {
            what: `${commit.member} of generation ${commit.generation} committed in ${commit.queue}, which was ${owner.member}'s in ${owner.generation}`,
          };
      }
    }
  },
};
