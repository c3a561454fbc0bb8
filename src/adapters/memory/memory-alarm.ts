import { assert } from "../../broker/assert.ts";
import { type Alarm, type AlarmId, isAlarmId } from "../../broker/ports/alarm.ts";
import type { Clock } from "../../broker/ports/clock.ts";

export interface MemoryAlarmOptions {
  readonly clock: Clock;
  readonly ring: (id: AlarmId) => Promise<void>;
}

const ringAgainMs = 1_000;

/** The alarm of tests and of the simulator. It dies with its process. */
export class MemoryAlarm implements Alarm {
  readonly #clock: Clock;
  readonly #ring: (id: AlarmId) => Promise<void>;
  /** What ends the wait for each alarm that is set. */
  readonly #set = new Map<AlarmId, AbortController>();

  constructor({ clock, ring }: MemoryAlarmOptions) {
    this.#clock = clock;
    this.#ring = ring;
  }

  async set(id: AlarmId, at: number): Promise<void> {
    assert(isAlarmId(id), "an alarm id is well-formed");
    const stop = new AbortController();
    this.#set.get(id)?.abort();
    this.#set.set(id, stop);
    void this.#wait(id, at, stop);
  }

  async cancel(id: AlarmId): Promise<void> {
    assert(isAlarmId(id), "an alarm id is well-formed");
    this.#set.get(id)?.abort();
    this.#set.delete(id);
  }

  async #wait(id: AlarmId, at: number, stop: AbortController): Promise<void> {
    let due = at;
    while (!stop.signal.aborted) {
      await this.#clock.sleep(due - this.#clock.now(), stop.signal);
      if (stop.signal.aborted || this.#clock.now() < due) continue;
      try {
        await this.#ring(id);
        break;
      } catch {
        due = this.#clock.now() + ringAgainMs;
      }
    }
    // While it rang, the alarm may have been set anew; that one stays.
    if (this.#set.get(id) === stop) this.#set.delete(id);
  }
}
