import type { Auditor } from "../auditor.ts";
import type { Client } from "../client.ts";
import type { Scenario } from "../scenario.ts";
import { pullOnce } from "./pull-once.ts";

/** Reads from anywhere: before the beginning, the middle of a batch, the end, and a little behind it. */
export function reader(auditor: Auditor, scenario: Scenario) {
  return async (client: Client): Promise<void> => {
    const ranges = new Map<string, { min: number; max: number }>();
    while (!client.done) {
      const { dice } = client.world;
      const { name: topic, queues } = dice.pick(scenario.topics);
      const queue = dice.between(0, queues - 1);
      const { min, max } = ranges.get(`${topic}/${queue}`) ?? { min: 0, max: 0 };
      const from = dice.pick([
        max + dice.between(0, 2),
        dice.between(min, max),
        dice.between(min, max),
        dice.between(Math.max(0, min - 2), Math.min(max, min + 2)),
      ]);
      const pull = await pullOnce(client, auditor, {
        topic,
        queue,
        from,
        max: dice.between(1, 8),
        waitMs: 0,
      });
      if (pull !== undefined) ranges.set(`${topic}/${queue}`, pull);
      await client.pause(dice.between(0, scenario.thinkMs));
    }
  };
}
