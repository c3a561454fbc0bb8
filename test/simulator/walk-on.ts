import type { Broker } from "../../src/broker/broker.ts";
import type { World } from "./world.ts";

const stretchMs = 5_000;

/**
 * Walks all the time, as a server does. In quiet spells only now and then: it would look four times a second for hours.
 */
export async function walkOn(
  world: World,
  broker: Broker,
  onError: (error: unknown) => void,
): Promise<void> {
  const { clock } = broker.ports;
  while (!world.calm) {
    await broker.walker.walk(broker.ports, clock.now() + stretchMs, { onError });
    const quietMs = world.quietUntil - world.now;
    if (quietMs > 0) await clock.sleep(world.dice.between(0, quietMs));
  }
}
