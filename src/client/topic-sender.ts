import { queueOfGroup } from "../broker/topics/queue-choice.ts";
import { BatchLine, type Entry } from "./batch-line.ts";
import type { Connection } from "./connection.ts";
import { deliver, type Target } from "./deliver.ts";
import { misuse } from "./options.ts";
import type { OutgoingBatch } from "./outgoing-batch.ts";
import type { Route, RouteQueue } from "./routes.ts";
import { TassoError } from "./tasso-error.ts";

export interface SendSettings {
  readonly batchBytes: number;
  readonly compressOverBytes: number;
  readonly timeoutMs: number;
}

/** A queue of a broker and what waits for it. One batch is on its way at a time, so its order cannot change. */
interface Lane {
  readonly queue: RouteQueue;
  readonly line: BatchLine;
  busy: boolean;
}

/** A message with where it has to go, if it has to. */
export interface Outgoing extends Entry {
  readonly pinned?: { readonly queue: number; readonly broker: string | undefined };
}

/**
 * What one producer sends to one topic. What has an order (a message group, or a queue of its own) waits in the lane of its
 * queue; everything else goes with the next lane that has nothing to do.
 */
export class TopicSender {
  readonly #connection: Connection;
  readonly #topic: string;
  readonly #settings: SendSettings;
  #route: Route | undefined;
  #lanes: Lane[] = [];
  readonly #laneOfGroup = new Map<string, Lane>();
  readonly #free: BatchLine;
  /** What has an order and no lane yet: the route is not known, or is changing. */
  #unrouted: Outgoing[] = [];
  #routing: Promise<void> | undefined;
  /** The lanes of the old route end first, so that a group whose queue is another now keeps its order. */
  #nextRoute: Route | undefined;
  readonly #onItsWay = new Set<OutgoingBatch>();
  #nextLane = 0;
  #nextFree = 0;
  #timer: AbortController | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  constructor(connection: Connection, topic: string, settings: SendSettings) {
    this.#connection = connection;
    this.#topic = topic;
    this.#settings = settings;
    this.#free = new BatchLine(settings.batchBytes);
  }

  add(outgoing: Outgoing): void {
    const ordered = outgoing.message.messageGroup !== undefined || outgoing.pinned !== undefined;
    if (!ordered) {
      if (this.#free.add(outgoing, this.#now())) this.#pump();
      return;
    }
    const isChanging = this.#nextRoute !== undefined || this.#unrouted.length > 0;
    if (this.#route === undefined || isChanging) {
      // Its bytes are lent for this call only.
      const { message } = outgoing;
      this.#unrouted.push({ ...outgoing, message: { ...message, body: message.body.slice() } });
      this.#pump();
      return;
    }
    const lane = this.#laneOf(outgoing);
    if (lane instanceof TassoError) refuse(outgoing, lane);
    else if (lane.line.add(outgoing, this.#now())) this.#pump();
  }

  /** What it was given so far goes now; resolves when all of it is settled. */
  async flush(): Promise<void> {
    const { clock } = this.#connection.settings;
    for (;;) {
      const lines = [this.#free, ...this.#lanes.map(({ line }) => line)];
      for (const line of lines) line.hasten();
      const batches = [...this.#onItsWay, ...lines.flatMap((line) => [...line.list()])];
      const unrouted = this.#unrouted.length;
      if (batches.length + unrouted === 0) return;
      this.#pump();
      await Promise.all(unrouted > 0 ? [this.#routing ?? clock.sleep(1)] : []);
      if (this.#route === undefined) await this.#routing;
      await Promise.all(batches.map(({ settled }) => settled));
      if (unrouted === 0 && !batches.some(({ wasMoved }) => wasMoved)) return;
    }
  }

  /** A batch of whole calls, which waits for no lane: it has no order. */
  async sendNow(batch: OutgoingBatch): Promise<void> {
    await this.#send(batch, () => this.#chooseFree());
  }

  /** Lets everything go that can go, and sees to it that somebody looks again when the next is due. */
  #pump(): void {
    this.#look();
    if (this.#route === undefined) return;
    const now = this.#now();
    let nextAt = Number.POSITIVE_INFINITY;
    for (let index = 0; index < this.#lanes.length; index++) {
      const lane = this.#lanes[(this.#nextLane + index) % this.#lanes.length];
      if (lane === undefined || lane.busy) continue;
      const own = lane.line.take(now);
      const batch = own ?? (this.#mayTakeFree(lane) ? this.#free.take(now) : undefined);
      if (batch === undefined) {
        nextAt = Math.min(nextAt, lane.line.dueAt ?? nextAt, this.#free.dueAt ?? nextAt);
        continue;
      }
      if (own === undefined) this.#nextLane = (this.#nextLane + index + 1) % this.#lanes.length;
      void this.#run(lane, batch, own !== undefined);
    }
    if (nextAt > now) this.#wakeAt(nextAt);
  }

  async #run(lane: Lane, batch: OutgoingBatch, ordered: boolean): Promise<void> {
    lane.busy = true;
    if (ordered) await this.#send(batch, () => this.#targetOf(lane.queue), lane);
    else {
      const own = lane.queue;
      let first = true;
      await this.#send(batch, () => {
        const target = first && this.#isAvailable(own) ? this.#targetOf(own) : this.#chooseFree();
        first = false;
        return target;
      });
    }
    lane.busy = false;
    this.#changeRoute();
    this.#pump();
  }

  async #send(
    batch: OutgoingBatch,
    choose: () => Target | Promise<Target>,
    lane?: Lane,
  ): Promise<void> {
    this.#onItsWay.add(batch);
    const { timeoutMs, compressOverBytes } = this.#settings;
    const options = { topic: this.#topic, choose, timeoutMs, compressOverBytes };
    const onMoved = lane === undefined ? undefined : () => this.#sendOtherwise(batch, lane);
    await deliver(this.#connection, batch, { ...options, onMoved });
    this.#onItsWay.delete(batch);
  }

  /** The topic has more queues than the route said: what waits in this lane is of others now. Its order is kept. */
  #sendOtherwise(batch: OutgoingBatch, { line }: Lane): void {
    const moved = [batch, ...line.takeAll()];
    const outgoing = moved.flatMap((one) =>
      one.messages().map((each) => ({ ...one.options, ...each })),
    );
    this.#unrouted = [...outgoing, ...this.#unrouted];
    for (const one of moved) one.moved();
    this.#connection.routes.forget(this.#topic);
  }

  /** Asks for the route where it is not known or got old. */
  #look(): void {
    const { routes } = this.#connection;
    if (this.#route !== undefined && routes.isFresh(this.#topic)) return;
    this.#routing ??= this.#ask().finally(() => {
      this.#routing = undefined;
    });
  }

  async #ask(): Promise<void> {
    const { timeoutMs } = this.#settings;
    try {
      const route = await this.#connection.route(this.#topic, { timeoutMs });
      const isSame = route.key === this.#route?.key;
      const wasRefused = isSame && this.#unrouted.length > 0;
      // The broker that was asked knows of the new queues later than the one that refused.
      if (wasRefused) await this.#connection.pause(routePauseMs);
      if (isSame) this.#route = route;
      if (!isSame || wasRefused) this.#nextRoute = route;
      this.#changeRoute();
    } catch (error) {
      if (this.#route === undefined) this.#giveUp(this.#connection.asTassoError(error));
    }
    queueMicrotask(() => this.#pump());
  }

  /** Nobody says where the topic is. */
  #giveUp(error: TassoError): void {
    for (const batch of this.#free.takeAll()) batch.failed(error);
    for (const outgoing of this.#unrouted.splice(0)) refuse(outgoing, error);
  }

  #changeRoute(): void {
    const route = this.#nextRoute;
    if (route === undefined || this.#lanes.some(({ busy, line }) => busy || !line.empty)) return;
    this.#nextRoute = undefined;
    this.#route = route;
    this.#laneOfGroup.clear();
    this.#lanes = route.queues.map((queue) => ({
      queue,
      line: new BatchLine(this.#settings.batchBytes),
      busy: false,
    }));
    for (const outgoing of this.#unrouted.splice(0)) this.add(outgoing);
  }

  /**
   * The hash picks among all queues of all brokers, whether they can be written to now or not, so that a group's place
   * does not move; at that broker its own rule says which queue, for it refuses a group in another.
   */
  #laneOf({ message, pinned }: Outgoing): Lane | TassoError {
    const { messageGroup } = message;
    const known = messageGroup === undefined ? undefined : this.#laneOfGroup.get(messageGroup);
    if (known !== undefined) return known;
    const laneAt = (wanted: string | undefined, queue: number) =>
      this.#lanes.find(
        ({ queue: own }) => own.queue === queue && own.broker === (wanted ?? own.broker),
      );
    if (messageGroup === undefined) {
      const { queue = 0, broker } = pinned ?? {};
      return laneAt(broker, queue) ?? misuse("queue", queue, `a queue of ${this.#topic}`);
    }
    const { broker = "" } =
      this.#lanes[queueOfGroup(messageGroup, this.#lanes.length)]?.queue ?? {};
    const there = this.#lanes.filter(({ queue }) => queue.broker === broker).length;
    const lane = laneAt(broker, queueOfGroup(messageGroup, there));
    if (lane === undefined) return misuse("messageGroup", messageGroup, "of a queue of the route");
    if (this.#laneOfGroup.size >= groupsKept) this.#laneOfGroup.clear();
    this.#laneOfGroup.set(messageGroup, lane);
    return lane;
  }

  /** A lane of a broker that failed lately takes what could go elsewhere only where there is no elsewhere. */
  #mayTakeFree({ queue }: Lane): boolean {
    if (!queue.writable) return false;
    return this.#isAvailable(queue) || !this.#lanes.some((lane) => this.#isAvailable(lane.queue));
  }

  #isAvailable(queue: RouteQueue): boolean {
    return this.#route !== undefined && isAvailable(queue, this.#route);
  }

  /** Round robin over the queues of brokers that nothing is known against. */
  async #chooseFree(): Promise<Target> {
    const { timeoutMs } = this.#settings;
    const route = await this.#connection.route(this.#topic, { timeoutMs });
    const writable = route.queues.filter((queue) => queue.writable);
    const available = writable.filter((queue) => isAvailable(queue, route));
    const queues = available.length > 0 ? available : writable;
    const chosen = queues[this.#nextFree++ % queues.length];
    if (chosen === undefined)
      throw new TassoError("topic_not_writable", `no queue of ${this.#topic} takes messages`);
    return this.#targetOf(chosen, route);
  }

  #targetOf({ broker: name, queue }: RouteQueue, route = this.#route): Target {
    return { broker: route?.brokers.get(name) ?? { name, endpoints: [] }, queue };
  }

  #wakeAt(at: number): void {
    if (at >= this.#timerAt || at === Number.POSITIVE_INFINITY) return;
    this.#timer?.abort();
    const timer = new AbortController();
    this.#timer = timer;
    this.#timerAt = at;
    void this.#connection.settings.clock.sleep(at - this.#now(), timer.signal).then(() => {
      if (timer.signal.aborted) return;
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#pump();
    });
  }

  #now(): number {
    return this.#connection.settings.clock.now();
  }
}

/** Told before it was in any batch. */
function refuse({ settle, release, bufferBytes = 0 }: Outgoing, error: TassoError): void {
  release?.(bufferBytes);
  settle(error);
}

function isAvailable({ broker, writable }: RouteQueue, { brokers }: Route): boolean {
  return writable && (brokers.get(broker)?.endpoints ?? []).some(({ available }) => available);
}

/** Lanes of so many message groups are remembered; to hash again costs a microsecond. */
const groupsKept = 10_000;
const routePauseMs = 500;
