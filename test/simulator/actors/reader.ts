import type { Auditor } from "../auditor.ts";
import type { Client } from "../client.ts";
import type { Scenario } from "../scenario.ts";
import { pullOnce } from "./pull-once.ts";

/** Reads from anywhere: the beginning, the middle of a batch, the end, and a little behind it. */
export function reader(auditor: Auditor, scenario: Scenario) {
  return async (client: Client): Promise<void> => {
    const ends = new Map<string, number>();
    while (!client.done) {
      const { dice } = client.world;
      const { name: topic, queues } = dice.pick(scenario.topics);
      const queue = dice.between(0, queues - 1);
      const end = ends.get(`${topic}/${queue}`) ?? 0;
      const from = dice.chance(0.3) ? end + dice.between(0, 2) : dice.between(0, end);
      const pull = await pullOnce(client, auditor, {
        topic,
        queue,
        from,
        max: dice.between(1, 8),
        waitMs: 0,
      });
      if (pull !== undefined) ends.set(`${topic}/${queue}`, pull.max);
      await client.pause(dice.between(0, scenario.thinkMs));
    }
  };
}
