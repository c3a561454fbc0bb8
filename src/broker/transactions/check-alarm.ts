import type { AlarmId } from "../ports/alarm.ts";
import { Unavailable } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import type { ProducerGroups } from "./producer-groups.ts";

/** Checks of a group that are due within so long are asked about by the same one, whom one alarm wakes (ms). */
const slotMs = 15_000;

/** The checks of a group with a webhook that are due in one slot. */
export interface CheckSlot {
  readonly producerGroup: string;
  readonly endsAt: number;
}

/** A slot in six characters, which will do for a thousand years: a group's name has up to 120, and an alarm's 128. */
function alarmOfSlot(slot: number, producerGroup: string): AlarmId {
  return `c${slot.toString(36).padStart(6, "0")}/${producerGroup}`;
}

/** The checks that an alarm rings for; `undefined` for other alarms. */
export function checksOfAlarm(id: AlarmId): CheckSlot | undefined {
  const [, slot, producerGroup] = /^c([0-9a-z]{6})\/(.+)$/.exec(id) ?? [];
  if (slot === undefined || producerGroup === undefined) return undefined;
  return { producerGroup, endsAt: (Number.parseInt(slot, 36) + 1) * slotMs };
}

/** Has somebody ask about the checks of a group from the beginning of the slot on in which one is due. */
export async function wakeForChecks(
  io: Ports,
  producerGroup: string,
  dueAt: number,
): Promise<void> {
  const slot = Math.floor(dueAt / slotMs);
  try {
    await io.alarm.set(alarmOfSlot(slot, producerGroup), slot * slotMs);
  } catch (error) {
    // The check entry is stored, and a sweep asks without the alarm.
    if (!(error instanceof Unavailable)) throw error;
  }
}

/** The same where the group has a webhook: those who poll need nobody to be woken. */
export async function wakeIfAsked(
  io: Ports,
  groups: ProducerGroups,
  producerGroup: string,
  dueAt: number,
): Promise<void> {
  const { webhook } = await groups.get(io, producerGroup);
  if (webhook !== undefined) await wakeForChecks(io, producerGroup, dueAt);
}
