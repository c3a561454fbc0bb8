import { SystemClock } from "../../../src/adapters/local/system-clock.ts";
import type { Clock } from "../../../src/broker/ports/clock.ts";

const system = new SystemClock();

/** A clock that goes faster than time, so that nobody waits for seconds to pass. */
export function hastyClock(factor: number): Clock {
  const start = system.now();
  return {
    now: () => Math.floor(start + (system.now() - start) * factor),
    sleep: (ms, signal) => system.sleep(ms / factor, signal),
  };
}
