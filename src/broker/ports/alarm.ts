/**
 * The alarm port: wake the broker then.
 *
 * Laws, which the contract suite tests on every adapter:
 *
 * 1. An alarm that was set rings at least once, also when the process that set it is gone by then.
 * 2. It never rings before its instant. An instant that has passed rings at once.
 * 3. It may ring twice; whoever is woken must not mind.
 * 4. `set` of an id that is set already replaces its instant.
 * 5. A cancelled alarm does not ring, unless it was already on its way. `cancel` of an unknown id succeeds.
 * 6. A ring whose handler fails comes again.
 *
 * Who is woken is a matter of composition: an adapter is given `ring(id)` when it is made.
 */
export interface Alarm {
  /** `at` in ms since the epoch. The alarm is set, durably, when this resolves. */
  set(id: AlarmId, at: number): Promise<void>;
  cancel(id: AlarmId): Promise<void>;
}

/** 1 to 128 characters of `A-Z a-z 0-9 . _ / -`. */
export type AlarmId = string;

/** Whether a string may name an alarm. Adapters assert it. */
export function isAlarmId(id: string): id is AlarmId {
  return /^[A-Za-z0-9._/-]{1,128}$/.test(id);
}
