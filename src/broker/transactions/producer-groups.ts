import { compareAndSet } from "../compare-and-set.ts";
import { limits } from "../limits.ts";
import type { Ports } from "../ports/ports.ts";
import { decodeRecord, encodeRecord } from "../record.ts";
import { keys } from "../schema.ts";

/** How the half messages of a producer group are checked back. */
export interface ProducerGroup {
  /** So long after one was asked the next one is (ms). */
  readonly checkEveryMs: number;
  /** After so many checks without an outcome a half is discarded. */
  readonly checksMax: number;
}

const defaults: ProducerGroup = {
  checkEveryMs: limits.checkEveryMsDefault,
  checksMax: limits.checksMaxDefault,
};

/** Settings of producer groups. A group that nobody set anything for has the defaults. */
export class ProducerGroups {
  readonly #known = new Map<string, { readonly group: ProducerGroup; readonly readAt: number }>();

  /** The settings, as they were at most `topicAgeMsMax` ago. */
  async get(io: Ports, name: string): Promise<ProducerGroup> {
    const known = this.#known.get(name);
    const readAt = io.clock.now();
    if (known !== undefined && readAt - known.readAt < limits.topicAgeMsMax) return known.group;
    const [item] = await io.store.get([keys.producerGroup(name)]);
    const group = { ...defaults, ...(item && decode(item.value)) };
    this.#known.set(name, { group, readAt });
    return group;
  }

  /** Changes what is given. */
  async change(io: Ports, name: string, changes: Partial<ProducerGroup>): Promise<ProducerGroup> {
    const readAt = io.clock.now();
    const { result } = await compareAndSet(io, keys.producerGroup(name), (current) => {
      const after = { ...defaults, ...(current && decode(current.value)), ...changes };
      return { value: encodeRecord(after), result: after };
    });
    this.#known.set(name, { group: result, readAt });
    return result;
  }
}

function decode(value: Uint8Array): ProducerGroup {
  return decodeRecord<ProducerGroup>("producer group", value);
}
