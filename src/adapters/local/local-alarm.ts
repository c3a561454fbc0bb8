import { assert } from "../../broker/assert.ts";
import { utf8 } from "../../broker/bytes.ts";
import { type Alarm, type AlarmId, isAlarmId } from "../../broker/ports/alarm.ts";
import type { Clock } from "../../broker/ports/clock.ts";
import { Unavailable } from "../../broker/ports/failures.ts";
import type { Random } from "../../broker/ports/random.ts";
import {
  type Item,
  type Key,
  type Store,
  storeLimits,
  type Version,
  type Write,
} from "../../broker/ports/store.ts";

export interface LocalAlarmOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly ring: (id: AlarmId) => Promise<void>;
  /** Hears of rings that failed, which come again, and of trouble with the store. */
  readonly onError: (error: unknown) => void;
}

const partition = utf8("alarms");

/** Put with every change of an alarm, by any process: whoever finds it as it was need not read thousands of rows again. */
const lastChange: Key = { partition: utf8("alarm-changes"), sort: utf8("last") };

/** Other processes set alarms too, and a ring that failed comes again: so often we look. */
const lookEveryMs = 1_000;
const commitWithinMs = 10_000;

/** Alarms as rows of a store. Every process that has the store open rings all of them. */
export class LocalAlarm implements Alarm {
  readonly #options: LocalAlarmOptions;
  readonly #ringing = new Map<AlarmId, Promise<void>>();
  #running: Promise<void> | undefined;
  readonly #end = new AbortController();
  #nap = new AbortController();
  #napUntil = 0;
  /** As of the last time that all rows were read: the last change, and the earliest instant in a row, also of one that rings. */
  #seenChange: Version | undefined;
  #earliestAt = Number.NEGATIVE_INFINITY;

  constructor(options: LocalAlarmOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Waits for the rings under way. */
  async close(): Promise<void> {
    this.#end.abort();
    this.#nap.abort();
    await this.#running;
    await Promise.all(this.#ringing.values());
  }

  async set(id: AlarmId, at: number): Promise<void> {
    const version = this.#drawVersion();
    await this.#commit({ kind: "put", key: rowKey(id), value: encodeInstant(at), version });
    if (at < this.#napUntil) this.#nap.abort();
  }

  async cancel(id: AlarmId): Promise<void> {
    await this.#commit({ kind: "delete", key: rowKey(id) });
  }

  async #run(): Promise<void> {
    const { clock, onError } = this.#options;
    while (!this.#end.signal.aborted) {
      // Made before the look, so that an alarm that is set meanwhile is not slept over.
      this.#nap = new AbortController();
      this.#napUntil = Number.POSITIVE_INFINITY;
      const nextAt = await this.#ringDue().catch((error: unknown) => {
        onError(error);
        return Number.POSITIVE_INFINITY;
      });
      this.#napUntil = Math.min(nextAt, clock.now() + lookEveryMs);
      // At least 1 ms: timers may end early, and a full turn must pass between two looks.
      await clock.sleep(Math.max(1, this.#napUntil - clock.now()), this.#nap.signal);
    }
  }

  /** Rings what is due and answers when the next alarm is. */
  async #ringDue(): Promise<number> {
    const { store, clock } = this.#options;
    // Before the rows: what changes while they are read is seen next time.
    const [change] = await store.get([lastChange]);
    const changed = change?.version !== this.#seenChange;
    if (!changed && clock.now() < this.#earliestAt) return this.#earliestAt;
    let nextAt = Number.POSITIVE_INFINITY;
    let earliestAt = Number.POSITIVE_INFINITY;
    for await (const row of this.#rows()) {
      const id = new TextDecoder().decode(row.key.sort);
      const at = decodeInstant(row.value);
      earliestAt = Math.min(earliestAt, at);
      if (this.#ringing.has(id)) continue;
      if (clock.now() < at) nextAt = Math.min(nextAt, at);
      else this.#ringing.set(id, this.#ring(id, row));
    }
    this.#seenChange = change?.version;
    this.#earliestAt = earliestAt;
    return nextAt;
  }

  async *#rows(): AsyncGenerator<Item> {
    const limit = storeLimits.scanItemsMax;
    let from = new Uint8Array();
    for (;;) {
      const { items, more } = await this.#options.store.scan({ partition, from, limit });
      yield* items;
      const last = items.at(-1);
      if (!more || !last) return;
      // The next key that there can be.
      from = Uint8Array.of(...last.key.sort, 0);
    }
  }

  async #ring(id: AlarmId, row: Item): Promise<void> {
    const { store, clock, ring, onError } = this.#options;
    let replaced = false;
    try {
      await ring(id);
      // Under its version: meanwhile the alarm may have been set anew, and then it stays.
      const { key, version } = row;
      const write: Write = { kind: "delete", key, expect: { version } };
      const { outcome } = await store.commit([write], clock.now() + commitWithinMs);
      replaced = outcome === "refused";
    } catch (error) {
      onError(error);
    } finally {
      this.#ringing.delete(id);
      if (replaced) this.#nap.abort();
    }
  }

  async #commit(write: Write): Promise<void> {
    const { store, clock } = this.#options;
    const version = this.#drawVersion();
    const change: Write = { kind: "put", key: lastChange, value: new Uint8Array(), version };
    const { outcome } = await store.commit([write, change], clock.now() + commitWithinMs);
    // Both calls may be repeated at will, so "maybe" asks the same of the caller as "no".
    if (outcome !== "applied") throw new Unavailable("whether the alarm was set is not known");
  }

  #drawVersion(): Version {
    return Buffer.from(this.#options.random.bytes(12)).toString("base64url");
  }
}

function rowKey(id: AlarmId): Key {
  assert(isAlarmId(id), "an alarm id is well-formed");
  return { partition, sort: utf8(id) };
}

function encodeInstant(at: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, at);
  return bytes;
}

function decodeInstant(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getFloat64(0);
}
