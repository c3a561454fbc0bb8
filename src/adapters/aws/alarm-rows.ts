import { assert } from "../../broker/assert.ts";
import { readU48, utf8, writeU48 } from "../../broker/bytes.ts";
import { newVersion } from "../../broker/chance.ts";
import { type AlarmId, isAlarmId } from "../../broker/ports/alarm.ts";
import type { Clock } from "../../broker/ports/clock.ts";
import { Damaged, Unavailable } from "../../broker/ports/failures.ts";
import type { Random } from "../../broker/ports/random.ts";
import type { Key, Store, Version, Write } from "../../broker/ports/store.ts";

export interface AlarmRowsOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
}

export interface AlarmRow {
  /** Ms since the epoch. */
  readonly at: number;
  readonly version: Version;
}

const partition = utf8("alarms");
const commitWithinMs = 10_000;
const instantBytes = 6;

/** Which alarms are set, and for when. A waking that finds no row, or one for later, has nothing to ring. */
export class AlarmRows {
  readonly #options: AlarmRowsOptions;

  constructor(options: AlarmRowsOptions) {
    this.#options = options;
  }

  async find(id: AlarmId): Promise<AlarmRow | undefined> {
    const [item] = await this.#options.store.get([rowKey(id)]);
    if (item === undefined) return undefined;
    if (item.value.length !== instantBytes) throw new Damaged("alarm");
    return { at: readU48(item.value, 0), version: item.version };
  }

  /** `before`: the row is put by then or not at all. */
  async put(id: AlarmId, at: number, before = Number.POSITIVE_INFINITY): Promise<void> {
    const value = new Uint8Array(instantBytes);
    writeU48(value, 0, Math.max(0, Math.ceil(at)));
    const version = newVersion(this.#options.random);
    await this.#commit({ kind: "put", key: rowKey(id), value, version }, before);
  }

  async delete(id: AlarmId): Promise<void> {
    await this.#commit({ kind: "delete", key: rowKey(id) });
  }

  /** Deletes the row unless the alarm was set anew. */
  async done(id: AlarmId, { version }: AlarmRow): Promise<void> {
    await this.#commit({ kind: "delete", key: rowKey(id), expect: { version } });
  }

  async #commit(write: Write, before = Number.POSITIVE_INFINITY): Promise<void> {
    const { store, clock } = this.#options;
    const until = Math.min(before, clock.now() + commitWithinMs);
    const { outcome } = await store.commit([write], until);
    // All of these may be repeated at will, so "maybe" asks the same of the caller as "no".
    if (outcome === "unknown") throw new Unavailable("whether the alarm was set is not known");
  }
}

function rowKey(id: AlarmId): Key {
  assert(isAlarmId(id), "an alarm id is well-formed");
  return { partition, sort: utf8(id) };
}
