import { seededRandom } from "../../src/adapters/faulty/faults.ts";
import { MemoryAlarm } from "../../src/adapters/memory/memory-alarm.ts";
import { MemoryStore } from "../../src/adapters/memory/memory-store.ts";
import { Broker } from "../../src/broker/broker.ts";
import { type DeadLetter, listDeadLetters } from "../../src/broker/consuming/dead-letters.ts";
import type { Received } from "../../src/broker/consuming/give-out.ts";
import type { GroupSettings } from "../../src/broker/consuming/group.ts";
import type { CommitRequest } from "../../src/broker/consuming/group-offsets.ts";
import type { Membership } from "../../src/broker/consuming/members.ts";
import { type PollAnswer, type PollRequest, poll } from "../../src/broker/consuming/poll.ts";
import { receiptHandleOf } from "../../src/broker/consuming/receipt-handle.ts";
import type { ReceiveRequest } from "../../src/broker/consuming/receive.ts";
import { acknowledge, giveBack } from "../../src/broker/consuming/settle-receipts.ts";
import type { Ports } from "../../src/broker/ports/ports.ts";
import type { Store, Write } from "../../src/broker/ports/store.ts";
import type { OutgoingMessage } from "../../src/broker/sending/outgoing-message.ts";
import { sendMessages } from "../../src/broker/sending/send-messages.ts";
import { minuteOfAlarm } from "../../src/broker/timers/minute-alarm.ts";
import { memoryPorts } from "../../test/support/memory-ports.ts";
import { VirtualClock } from "../../test/support/virtual-clock.ts";

export interface CellOptions {
  readonly seed: number;
  /** Every call of the store takes so long in simulated time (ms). Default 0. */
  readonly storeMs?: number;
  /** And by lot up to so long. Default: always the same. */
  readonly storeMsMax?: number;
  /** Hears of every commit before it is made. */
  readonly onCommit?: (writes: readonly Write[]) => void;
  /** Another broker of the same time and on the same store. */
  readonly beside?: SimulatedCell;
}

const sweepEveryMs = 60_000;

/**
 * A whole broker in simulated time, as the local server runs one: it walks all the time, its alarms ring, it sweeps once a
 * minute. Audits bundle this file with their patches.
 */
export class SimulatedCell {
  readonly clock: VirtualClock;
  readonly broker: Broker;
  readonly store: MemoryStore;
  /** What the broker failed at on its own. */
  readonly failures: unknown[] = [];
  readonly #io: Ports;
  readonly #stop = new AbortController();

  constructor({ seed, storeMs = 0, storeMsMax = storeMs, onCommit, beside }: CellOptions) {
    const random = seededRandom(seed);
    const callMs = () => Math.round(storeMs + random() * (storeMsMax - storeMs));
    const clock = beside?.clock ?? new VirtualClock();
    this.clock = clock;
    this.store = beside?.store ?? new MemoryStore(clock);
    const watched = watchedStore(this.store, clock, { callMs, onCommit });
    const ports = memoryPorts(clock, { seed, store: watched });
    const alarm = new MemoryAlarm({
      clock,
      ring: async (id) => {
        const minute = minuteOfAlarm(id);
        if (minute === undefined) await this.broker.sweep(this.#io);
        else this.broker.walker.rewind(minute);
      },
    });
    this.#io = { ...ports, alarm };
    this.broker = new Broker(this.#io);
  }

  /** Walks and sweeps until {@link end}. */
  begin(): void {
    const onError = (error: unknown) => void this.failures.push(error);
    const { signal } = this.#stop;
    void this.broker.walker.walk(this.#io, Number.POSITIVE_INFINITY, { signal, onError });
    const sweeping = async () => {
      while (!signal.aborted) {
        await this.broker.sweep(this.#io).catch(onError);
        await this.clock.sleep(sweepEveryMs, signal);
      }
    };
    void sweeping();
  }

  end(): void {
    this.#stop.abort();
  }

  async ensureTopic(topic: string, queues: number): Promise<void> {
    await this.broker.topics.ensure(this.#io, topic, { queues });
  }

  async ensureGroup(group: string, settings: Partial<GroupSettings>): Promise<void> {
    await this.broker.groups.ensure(this.#io, group, settings);
  }

  async send(topic: string, messages: readonly OutgoingMessage[]): Promise<void> {
    for (const result of await sendMessages(this.#io, this.broker, { topic, messages }))
      if ("error" in result) throw result.error;
  }

  async receive(
    request: Pick<ReceiveRequest, "group" | "topic"> & Partial<ReceiveRequest>,
  ): Promise<readonly Received[]> {
    const defaults = { max: 32, bytesMax: 1_048_576, invisibleMs: 30_000, waitMs: 0 };
    const asked = { ...defaults, ...request };
    return (await this.broker.receiving.receive(this.#io, asked)).messages;
  }

  /** Answers the code of what was refused. */
  async ack(group: string, received: readonly Received[]): Promise<string[]> {
    const handles = handlesOf(received);
    return codesOf(await acknowledge(this.#io, this.broker, { group, handles }));
  }

  /** Gives back by the group's ladder. Answers the codes of what was refused. */
  async nack(group: string, received: readonly Received[]): Promise<string[]> {
    const handles = handlesOf(received);
    return codesOf(await giveBack(this.#io, this.broker, { group, handles }));
  }

  async deadLetters(group: string): Promise<readonly DeadLetter[]> {
    const all: DeadLetter[] = [];
    for (;;) {
      const asked = { group, offset: all.length, max: 100, bytesMax: 1_048_576 };
      const { deadLetters } = await listDeadLetters(this.#io, this.broker, asked);
      if (deadLetters.length === 0) return all;
      all.push(...deadLetters);
    }
  }

  heartbeat(group: string, clientId: string, topic: string): Promise<Membership> {
    return this.broker.members.heartbeat(this.#io, { group, clientId, topics: [topic] });
  }

  leave(group: string, clientId: string): Promise<void> {
    return this.broker.members.leave(this.#io, group, clientId);
  }

  members(group: string): ReturnType<Broker["members"]["list"]> {
    return this.broker.members.list(this.#io, group);
  }

  poll(request: PollRequest): Promise<PollAnswer> {
    return poll(this.#io, this.broker, request);
  }

  async commit(
    topic: string,
    request: Omit<CommitRequest, "topic">,
  ): Promise<ReadonlyMap<number, number>> {
    const found = await this.broker.topics.get(this.#io, topic);
    return await this.broker.groupOffsets.commit(this.#io, { ...request, topic: found });
  }

  /** By queue: what is committed, and the end. */
  async progress(group: string, topic: string): Promise<{ committed: number; max: number }[]> {
    const { groupOffsets, log, topics } = this.broker;
    const found = await topics.get(this.#io, topic);
    const lags = await groupOffsets.lag(this.#io, log, group, found);
    return lags.map(({ committed = 0, max }) => ({ committed, max }));
  }

  async lag(group: string, topic: string): Promise<number> {
    const { groupOffsets, log, topics } = this.broker;
    const found = await topics.get(this.#io, topic);
    const queues = await groupOffsets.lag(this.#io, log, group, found);
    const retries = await groupOffsets.retries(this.#io, log, group, found);
    return queues.reduce((sum, { lag }) => sum + lag, retries.lag);
  }
}

function handlesOf(received: readonly Received[]): string[] {
  return received.map(({ receipt }) => receiptHandleOf(receipt));
}

function codesOf(settled: readonly ({ readonly code: string } | undefined)[]): string[] {
  return settled.flatMap((error) => (error === undefined ? [] : [error.code]));
}

function watchedStore(
  store: Store,
  clock: VirtualClock,
  {
    callMs,
    onCommit,
  }: { readonly callMs: () => number; readonly onCommit: CellOptions["onCommit"] },
): Store {
  const pass = () => {
    const ms = callMs();
    return ms === 0 ? undefined : clock.sleep(ms);
  };
  return {
    async get(keys) {
      await pass();
      return await store.get(keys);
    },
    async scan(range) {
      await pass();
      return await store.scan(range);
    },
    async commit(writes, until) {
      await pass();
      onCommit?.(writes);
      return await store.commit(writes, until);
    },
  };
}
