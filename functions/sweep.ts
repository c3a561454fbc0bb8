import type { Broker } from "../src/broker/broker.ts";
import type { Ports } from "../src/broker/ports/ports.ts";

/** Sweeps and answers whether work is left that is due: then the broker asks to be woken again at once. */
export async function sweepOnce(broker: Broker, io: Ports): Promise<boolean> {
  let workLeft = false;
  await broker.sweep({
    ...io,
    alarm: {
      set: (id, at) => {
        workLeft ||= at <= io.clock.now();
        return io.alarm.set(id, at);
      },
      cancel: (id) => io.alarm.cancel(id),
    },
  });
  return workLeft;
}
