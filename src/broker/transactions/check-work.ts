import { limits } from "../limits.ts";
import type { Ports } from "../ports/ports.ts";
import type { Write } from "../ports/store.ts";
import { putWork } from "../work/work.ts";

/** Checks of a producer group that are due within so long are looked after together (ms). */
const slotMs = 15_000;
const slotsRemembered = 10_000;

/** When a sweep looks after what is due to be checked at an instant. */
export function lookedAfterAt(checkAt: number): number {
  return (Math.floor(checkAt / slotMs) + 2) * slotMs;
}

/** The latest instant at which a half may be stored so that it is there when a sweep looks after it, by whomever's clock. */
export function storedUntil(io: Ports, checkAt: number): number {
  return Math.min(
    io.clock.now() + limits.appendDeadlineMs,
    lookedAfterAt(checkAt) - 2 * limits.clockErrorMsMax - 1,
  );
}

/**
 * Work that has a sweep look after the halves of a producer group, stored in the commit of the first half that a process
 * stores for each slot. So wherever there is a half there is work, and none where there is no half.
 */
export class CheckWork {
  readonly #stored = new Set<string>();

  /** What has to go along with a half that is to be checked then, unless this process has stored it. */
  writesFor(io: Ports, producerGroup: string, checkAt: number): Write[] {
    if (this.#stored.has(nameOf(producerGroup, checkAt))) return [];
    const dueAt = lookedAfterAt(checkAt);
    return [putWork(io, { dueAt, work: { kind: "check-back", producerGroup } })];
  }

  /** They were applied. */
  wrote(producerGroup: string, checkAt: number): void {
    if (this.#stored.size >= slotsRemembered) this.#stored.clear();
    this.#stored.add(nameOf(producerGroup, checkAt));
  }
}

function nameOf(producerGroup: string, checkAt: number): string {
  return `${lookedAfterAt(checkAt)} ${producerGroup}`;
}
