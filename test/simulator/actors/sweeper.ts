import type { Client } from "../client.ts";

/** What a server does by itself: lets a broker do what is due, every minute or so, and less often while nothing happens. */
export async function sweeper(client: Client): Promise<void> {
  while (!client.done) {
    await client.call("sweep", (broker, io) => broker.sweep(io));
    const { dice, now, quietUntil } = client.world;
    const quietMs = Math.max(0, quietUntil - now);
    await client.pause(Math.max(dice.between(5_000, 90_000), dice.between(0, quietMs / 5)));
  }
}
