import type { Invariant } from "../auditor.ts";

/** In one generation a queue belongs to one member. */
export const oneOwnerAGeneration: Invariant = {
  name: "one owner a generation",
  *check({ consumption: { told } }) {
    const owners = new Map<string, string>();
    for (const { group, generation, member, queues } of told) {
      for (const queue of queues) {
        const name = `${group} ${generation} ${queue}`;
        const owner = owners.get(name) ?? member;
        if (owner !== member)
          yield {
            what: `${queue} was ${owner}'s and ${member}'s in generation ${generation} of ${group}`,
          };
        owners.set(name, owner);
      }
    }
  },
};
