import { poll } from "../../../src/broker/consuming/poll.ts";
import type { Auditor } from "../auditor.ts";
import type { Client } from "../client.ts";
import type { GroupPlan } from "../consumption.ts";
import type { Scenario } from "../scenario.ts";

const topic = "orders";

/** A member of a group that polls: it commits what the poll before gave it, and leaves or is silent now and then. */
export function member(auditor: Auditor, scenario: Scenario, { name: group }: GroupPlan) {
  const seen = auditor.consumption;
  return async (client: Client): Promise<void> => {
    let generation: number | undefined;
    let next: ReadonlyMap<number, number> = new Map();
    while (!client.done) {
      const { dice, now: startedAt } = client.world;
      const commit =
        generation !== undefined && next.size > 0 && dice.chance(0.7)
          ? new Map([[topic, next]])
          : new Map<string, Map<number, number>>();
      const waitMs = dice.chance(0.2) ? 2_000 : 0;
      const told = generation;
      const reply = await client.call("poll", (broker, io) =>
        poll(io, broker, {
          ...{ group, clientId: client.name, generation: told, topics: [topic], commit },
          ...{ max: 20, bytesMax: 100_000, waitMs },
        }),
      );
      if (reply.outcome === "ok") {
        const { value } = reply;
        if (told !== undefined)
          for (const queue of commit.get(topic)?.keys() ?? [])
            seen.commits.push({
              ...{ member: client.name, group, generation: told, startedAt },
              queue: `${topic}/${queue}`,
            });
        const queues = (value.assignments[topic] ?? []).map((queue) => `${topic}/${queue}`);
        ({ generation } = value);
        next = value.next.get(topic) ?? new Map();
        const seenAt = client.world.now;
        seen.told.push({ member: client.name, group, generation, queues, seenAt });
      } else if (reply.outcome === "refused") generation = undefined;
      if (dice.chance(0.05)) {
        await client.call("leave", (broker, io) => broker.members.leave(io, group, client.name));
        generation = undefined;
      }
      await client.pause(dice.between(0, dice.chance(0.05) ? 40_000 : scenario.thinkMs));
    }
  };
}
