import type { Client } from "../client.ts";
import type { Scenario } from "../scenario.ts";

/** What a server does by itself: lets a broker do what is due, now and then, and less often while nothing happens. */
export function sweeper({ sweepMs }: Scenario) {
  return async (client: Client): Promise<void> => {
    while (!client.done) {
      await client.call("sweep", (broker, io) => broker.sweep(io));
      const { dice, now, quietUntil } = client.world;
      const quietMs = Math.max(0, quietUntil - now);
      await client.pause(Math.max(dice.between(50, sweepMs), dice.between(0, quietMs / 5)));
    }
  };
}
