import { SystemClock } from "../../../src/adapters/local/system-clock.ts";
import type { Clock } from "../../../src/broker/ports/clock.ts";

const system = new SystemClock();

/** Tells the time of another clock and sleeps in real time: requests take real time, whatever the clock of a test says. */
export function patientClock(clock: Clock): Clock {
  return { now: () => clock.now(), sleep: (ms, signal) => system.sleep(ms, signal) };
}
