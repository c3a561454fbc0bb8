import { base64 } from "../bytes.ts";
import { compareAndSet } from "../compare-and-set.ts";
import { invalid } from "../errors.ts";
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
  /** Who is asked without polling. */
  readonly webhook?: CheckWebhook;
}

/** Where a group is asked, and what its checks are signed with. */
export interface CheckWebhook {
  readonly url: string;
  /** In base64. Told once, when it is minted. */
  readonly secret: string;
  /** The one before, which still signs for a while. */
  readonly old?: { readonly secret: string; readonly until: number };
}

/** What is to become of a group's webhook: `null` removes it; another URL, or a wish for it, mints another secret. */
export interface WebhookChange {
  readonly url?: string | null;
  readonly rotates?: boolean;
}

export interface ProducerGroupChanges {
  readonly checkEveryMs?: number;
  readonly checksMax?: number;
  readonly webhook?: WebhookChange;
}

export interface ChangedProducerGroup {
  readonly group: ProducerGroup;
  /** In base64, where one was minted: nobody is told again. */
  readonly minted?: string;
}

const secretBytes = 32;

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

  /** Changes what is given. Throws `invalid` where a secret is to be replaced and there is none. */
  async change(
    io: Ports,
    name: string,
    { webhook: webhookChange, ...changes }: ProducerGroupChanges,
  ): Promise<ChangedProducerGroup> {
    const readAt = io.clock.now();
    const fresh = base64(io.random.bytes(secretBytes));
    const { result } = await compareAndSet(io, keys.producerGroup(name), (current) => {
      const { webhook: before, ...rest } = { ...defaults, ...(current && decode(current.value)) };
      const webhook = changedWebhook(before, webhookChange, fresh, readAt);
      const group = { ...rest, ...changes, ...(webhook === undefined ? {} : { webhook }) };
      const isMinted = webhook?.secret === fresh;
      const changed = { group, ...(isMinted ? { minted: fresh } : {}) };
      return { value: encodeRecord(group), result: changed };
    });
    this.#known.set(name, { group: result.group, readAt });
    return result;
  }
}

function changedWebhook(
  before: CheckWebhook | undefined,
  { url = before?.url, rotates = false }: WebhookChange = {},
  fresh: string,
  now: number,
): CheckWebhook | undefined {
  if (url === null || url === undefined) {
    if (rotates) throw invalid("rotateCheckSecret", true, "absent where there is no checkUrl");
    return undefined;
  }
  // Whoever answers elsewhere is not to hold what the one before was told.
  if (before?.url !== url) return { url, secret: fresh };
  if (!rotates) return before;
  return { url, secret: fresh, old: { secret: before.secret, until: now + limits.oldSecretMs } };
}

function decode(value: Uint8Array): ProducerGroup {
  return decodeRecord<ProducerGroup>("producer group", value);
}
