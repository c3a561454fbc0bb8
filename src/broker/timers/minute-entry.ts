import { readU48, writeU48 } from "../bytes.ts";
import { newVersion } from "../chance.ts";
import { Damaged } from "../ports/failures.ts";
import type { Ports } from "../ports/ports.ts";
import type { Item, Put } from "../ports/store.ts";
import { keys, type MinuteShard } from "../schema.ts";

/*
 * The entry of a minute and shard says until when somebody is about to set its alarm, and, once it is set, that nobody
 * has to any more. So of all who write into a minute one sets its alarm, and another does where that one died.
 */
const claimedMs = 10_000;
const forever = 2 ** 48 - 1;
const entryBytes = 6;

/** The entry with which this process takes it upon itself to set the alarm. */
export function claimedEntry(io: Ports, minuteShard: MinuteShard): Put {
  return entryPut(io, minuteShard, io.clock.now() + claimedMs);
}

/** The entry of a minute whose alarm is set, or that needs none of its own. */
export function settledEntry(io: Ports, minuteShard: MinuteShard): Put {
  return entryPut(io, minuteShard, forever);
}

/** Whether its alarm is for somebody else to set. */
export function isClaimed(io: Ports, { value }: Item): boolean {
  if (value.length !== entryBytes) throw new Damaged("minute entry");
  return readU48(value, 0) > io.clock.now();
}

function entryPut(io: Ports, minuteShard: MinuteShard, claimedUntil: number): Put {
  const value = new Uint8Array(entryBytes);
  writeU48(value, 0, claimedUntil);
  return { kind: "put", key: keys.minute(minuteShard), value, version: newVersion(io.random) };
}
