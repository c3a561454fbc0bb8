import type { Client } from "../client.ts";

/** What a server does by itself: lets a broker do what is due, now and then, and less often while nothing happens. */
export async function sweeper(client: Client): Promise<void> {
  while (!client.done) {
    await client.call("sweep", (broker, io) => broker.sweep(io));
    const { dice, now, quietUntil } = client.world;
    const quietMs = Math.max(0, quietUntil - now);
    const pause = dice.between(50, dice.pick([1_000, 90_000]));
    await client.pause(Math.max(pause, dice.between(0, quietMs / 5)));
  }
}
