import type { Alarm, AlarmId } from "../../broker/ports/alarm.ts";
import { type Faults, runUnderFault, throwUnavailable } from "./faults.ts";

/** An alarm whose calls meet faults. Those of its rings are made by {@link faultyRing}. */
export class FaultyAlarm implements Alarm {
  readonly #alarm: Alarm;
  readonly #faults: Faults;

  constructor(alarm: Alarm, faults: Faults) {
    this.#alarm = alarm;
    this.#faults = faults;
  }

  set(id: AlarmId, at: number): Promise<void> {
    return this.#run("set", () => this.#alarm.set(id, at));
  }

  cancel(id: AlarmId): Promise<void> {
    return this.#run("cancel", () => this.#alarm.cancel(id));
  }

  #run(method: string, run: () => Promise<void>): Promise<void> {
    const { plan, clock } = this.#faults;
    return runUnderFault(plan({ port: "alarm", method }), clock, run, throwUnavailable);
  }
}

/** Rings that come late, twice, or fail before or after their work. */
export function faultyRing(
  ring: (id: AlarmId) => Promise<void>,
  { plan, clock }: Faults,
): (id: AlarmId) => Promise<void> {
  return (id) =>
    runUnderFault(plan({ port: "alarm", method: "ring" }), clock, () => ring(id), throwUnavailable);
}
