import type { AlarmId } from "../../broker/ports/alarm.ts";
import type { Clock } from "../../broker/ports/clock.ts";
import { AlarmRows, type AlarmRowsOptions } from "./alarm-rows.ts";
import { type Waking, waitMsMax } from "./wakings.ts";

export interface AlarmRingerOptions extends AlarmRowsOptions {
  readonly ring: (id: AlarmId) => Promise<void>;
}

/** What the woken function does: it waits out the rest and rings what is then still set. */
export class AlarmRinger {
  readonly #rows: AlarmRows;
  readonly #clock: Clock;
  readonly #ring: (id: AlarmId) => Promise<void>;

  constructor(options: AlarmRingerOptions) {
    this.#rows = new AlarmRows(options);
    this.#clock = options.clock;
    this.#ring = options.ring;
  }

  /**
   * Answers by how much the ring was late, or `undefined` where there was nothing to ring. Throws what the ring throws:
   * whoever woke it wakes it again then. Takes up to three minutes and the time of the ring.
   */
  async wake({ alarm }: Waking): Promise<{ readonly latenessMs: number } | undefined> {
    for (;;) {
      const row = await this.#rows.find(alarm);
      // Cancelled, or rung by another waking; or set anew for later, which has a waking of its own.
      if (row === undefined || row.at - this.#clock.now() > waitMsMax) return undefined;
      const latenessMs = this.#clock.now() - row.at;
      if (latenessMs >= 0) {
        await this.#ring(alarm);
        await this.#rows.done(alarm, row);
        return { latenessMs };
      }
      await this.#clock.sleep(-latenessMs);
    }
  }
}
