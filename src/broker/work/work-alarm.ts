import type { Ports } from "../ports/ports.ts";

const minute = 60_000;

/** Has the broker woken when work is due. One alarm a minute: whoever is woken does all that is due, and sets the next. */
export function wakeForWork(io: Ports, at: number): Promise<void> {
  return io.alarm.set(`work/${Math.floor(at / minute)}`, at);
}
