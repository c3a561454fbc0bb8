import { utf8 } from "../broker/bytes.ts";
import { newVersion } from "../broker/chance.ts";
import { compareAndSet } from "../broker/compare-and-set.ts";
import { commitUntilDecided } from "../broker/decided-commit.ts";
import { BrokerError, invalid } from "../broker/errors.ts";
import { limits } from "../broker/limits.ts";
import type { Ports } from "../broker/ports/ports.ts";
import { type Item, type Key, storeLimits } from "../broker/ports/store.ts";
import { decodeRecord, encodeRecord } from "../broker/record.ts";
import { type Route, routeOf } from "../broker/topics/route.ts";
import { type Claim, holdersOf } from "./claims.ts";
import { nameServerLimits } from "./limits.ts";

/** What a broker tells of itself. */
export interface Registration {
  readonly name: string;
  readonly endpoint: string;
  readonly region?: string;
  /** How long it counts as alive from now on (ms). 0: it says that it goes. */
  readonly leaseMs: number;
  readonly topics: Readonly<Record<string, ClaimedTopic>>;
}

export interface ClaimedTopic {
  readonly queues: number;
  /** @default true */
  readonly writable?: boolean;
  /** @default false */
  readonly shared?: boolean;
  /** What a name server answered before. */
  readonly since?: number;
}

/** What became of each topic of a registration. */
export type Granted = { readonly since: number } | { readonly error: BrokerError };

export interface RegisteredBroker {
  readonly name: string;
  readonly endpoint: string;
  readonly region?: string;
  readonly leaseMs: number;
  readonly renewedAt: number;
  readonly topics: readonly string[];
}

/**
 * Which brokers there are and which topics they hold, as rows of a store of its own:
 *
 * | partition | sort        | value                      | written                   |
 * |-----------|-------------|----------------------------|---------------------------|
 * | brokers   | broker name | `RegisteredBroker`, expires | by each renewal           |
 * | claims    | topic       | the claims that hold it    | when they become others   |
 *
 * A claim counts for as long as its broker is there, so nothing has to be removed when one is forgotten. A renewal that
 * changes nothing reads the claims and puts one row.
 */
export class Registry {
  readonly ports: Ports;
  readonly #readyAt: number;

  /** `settleMs`: how long brokers may be missing from now on, because what was known is not kept. */
  constructor(ports: Ports, { settleMs = 0 }: { readonly settleMs?: number } = {}) {
    this.ports = ports;
    this.#readyAt = ports.clock.now() + settleMs;
  }

  /** Takes a broker in, or renews its lease. Topics are granted or refused one by one; those that it names no more are free. */
  async register(
    io: Ports,
    registration: Registration,
  ): Promise<{ readonly broker: RegisteredBroker; readonly topics: Map<string, Granted> }> {
    const { topics: claimed, ...facts } = registration;
    const topics = Object.keys(claimed).sort();
    if (topics.length > nameServerLimits.topicsPerBrokerMax)
      throw invalid(
        "topics",
        topics.length,
        `at most ${nameServerLimits.topicsPerBrokerMax} topics`,
      );
    const now = io.clock.now();
    const before = await this.#find(io, facts.name);
    // What it gives up goes first: a topic that its row does not name any more would never be given up.
    await this.#release(
      io,
      facts.name,
      before?.topics.filter((topic) => !(topic in claimed)) ?? [],
    );
    const broker: RegisteredBroker = { ...facts, renewedAt: now, topics };
    await this.#put(io, broker);
    return { broker, topics: await this.#claimAll(io, facts.name, claimed, now) };
  }

  /** Forgets a broker and what it held. Throws `broker_not_found`. */
  async remove(io: Ports, name: string): Promise<void> {
    const broker = await this.#find(io, name);
    if (broker === undefined)
      throw new BrokerError("broker_not_found", `there is no broker ${name}`, { broker: name });
    await this.#release(io, name, broker.topics);
    const until = io.clock.now() + limits.appendDeadlineMs;
    await commitUntilDecided(io, [{ kind: "delete", key: brokerKey(name) }], until);
  }

  /** In the order of their names. */
  async list(
    io: Ports,
    { after, limit }: { readonly after: string | undefined; readonly limit: number },
  ): Promise<{
    readonly brokers: (RegisteredBroker & { readonly stale: boolean })[];
    readonly next: string | undefined;
  }> {
    const from = utf8(after === undefined ? "\0" : `${after}\0`);
    const { items, more } = await io.store.scan({ partition: brokersPartition, limit, from });
    const now = io.clock.now();
    const brokers = items.map((item) => withStaleness(decodeBroker(item), now));
    return { brokers, next: more ? brokers.at(-1)?.name : undefined };
  }

  /**
   * Where a topic is. Throws `topic_not_found`, or `not_ready` while this name server may not have heard of all who hold
   * it: a route that lacks a broker would lead message groups elsewhere.
   */
  async route(io: Ports, topic: string): Promise<Route> {
    const [item] = await io.store.get([claimsKey(topic)]);
    const claims = claimsIn(item);
    const brokers = await this.#brokersOf(io, claims);
    const now = io.clock.now();
    const routed = claims.flatMap(({ broker, queues, writable, shared }) => {
      const found = brokers.get(broker);
      if (found === undefined) return [];
      const { name, endpoint, region, stale } = withStaleness(found, now);
      const where = region === undefined ? {} : { region };
      return [{ name, endpoint, ...where, stale, queues, writable, shared }];
    });
    const mayLackOne = routed.length === 0 || routed.some(({ shared }) => shared);
    if (mayLackOne && now < this.#readyAt) throw this.#notReady(topic, now);
    if (routed.length === 0)
      throw new BrokerError("topic_not_found", `no broker has registered topic ${topic}`, {
        topic,
      });
    return routeOf(topic, routed);
  }

  #notReady(topic: string, now: number): BrokerError {
    const message = `this name server began a moment ago: not every broker of ${topic} may have registered`;
    return new BrokerError("not_ready", message, { topic, retryAfterMs: this.#readyAt - now });
  }

  async #claimAll(
    io: Ports,
    broker: string,
    claimed: Registration["topics"],
    now: number,
  ): Promise<Map<string, Granted>> {
    const granted = new Map<string, Granted>();
    for (const topics of pages(Object.keys(claimed))) {
      const items = await io.store.get(topics.map(claimsKey));
      const claims = topics.map(async (topic, index) => {
        const wanted = claimed[topic];
        if (wanted === undefined) return;
        const { queues, writable = true, shared = false, since } = wanted;
        const claim = { broker, queues, writable, shared, since: Math.min(since ?? now, now) };
        granted.set(topic, await this.#claim(io, topic, claim, items[index]));
      });
      await Promise.all(claims);
    }
    return granted;
  }

  async #claim(io: Ports, topic: string, claim: Claim, known: Item | undefined): Promise<Granted> {
    const others = claimsIn(known).filter(({ broker }) => broker !== claim.broker);
    const alive = await this.#brokersOf(io, others);
    const { result } = await compareAndSet<readonly Claim[]>(
      io,
      claimsKey(topic),
      (current) => {
        const before = claimsIn(current);
        const mine = before.find(({ broker }) => broker === claim.broker);
        // Who is gone is asked before: one that came in between counts as there.
        const gone = (one: Claim) =>
          others.some(({ broker }) => broker === one.broker) && !alive.has(one.broker);
        const rest = before.filter((one) => one !== mine && !gone(one));
        const since = Math.min(claim.since, mine?.since ?? claim.since);
        const holders = holdersOf([...rest, { ...claim, since }]);
        if (JSON.stringify(holders) === JSON.stringify(before)) return { unchanged: before };
        const isRefused = !holders.some(({ broker }) => broker === claim.broker);
        if (isRefused || holders.length > nameServerLimits.brokersPerTopicMax)
          return { unchanged: before };
        return { value: encodeRecord({ claims: holders }), result: holders };
      },
      known,
    );
    const mine = result.find(({ broker }) => broker === claim.broker);
    return mine === undefined ? { error: owned(topic, claim, result) } : { since: mine.since };
  }

  async #release(io: Ports, name: string, topics: readonly string[]): Promise<void> {
    for (const topic of topics) {
      await compareAndSet(io, claimsKey(topic), (current) => {
        const before = claimsIn(current);
        const rest = before.filter(({ broker }) => broker !== name);
        if (rest.length === before.length) return { unchanged: undefined };
        return { value: encodeRecord({ claims: rest }), result: undefined };
      });
    }
  }

  async #find(io: Ports, name: string): Promise<RegisteredBroker | undefined> {
    const [item] = await io.store.get([brokerKey(name)]);
    return item === undefined ? undefined : decodeBroker(item);
  }

  async #brokersOf(io: Ports, claims: readonly Claim[]): Promise<Map<string, RegisteredBroker>> {
    if (claims.length === 0) return new Map();
    const items = await io.store.get(claims.map(({ broker }) => brokerKey(broker)));
    const found = items.flatMap((item) => (item === undefined ? [] : [decodeBroker(item)]));
    return new Map(found.map((broker) => [broker.name, broker]));
  }

  async #put(io: Ports, broker: RegisteredBroker): Promise<void> {
    const put = {
      kind: "put",
      key: brokerKey(broker.name),
      value: encodeRecord(broker),
      version: newVersion(io.random),
      expiresAt: broker.renewedAt + broker.leaseMs + nameServerLimits.forgetMs,
    } as const;
    await commitUntilDecided(io, [put], broker.renewedAt + limits.appendDeadlineMs);
  }
}

function owned(topic: string, claim: Claim, holders: readonly Claim[]): BrokerError {
  const [owner] = holders;
  const full = owner?.shared && claim.shared;
  const why = full
    ? `topic ${topic} is shared by ${nameServerLimits.brokersPerTopicMax} brokers already`
    : `topic ${topic} belongs to broker ${owner?.broker}`;
  return new BrokerError("topic_owned", why, {
    field: `topics.${topic}`,
    topic,
    owner: owner?.broker,
    allowed: "a topic of no other broker, or one that its owner and this broker both share",
  });
}

function withStaleness(broker: RegisteredBroker, now: number) {
  return { ...broker, stale: now >= broker.renewedAt + broker.leaseMs };
}

function decodeBroker({ value }: Item): RegisteredBroker {
  return decodeRecord<RegisteredBroker>("registered broker", value);
}

function claimsIn(item: Item | undefined): readonly Claim[] {
  return item === undefined
    ? []
    : decodeRecord<{ claims: readonly Claim[] }>("claims", item.value).claims;
}

function* pages(topics: readonly string[]): Generator<readonly string[]> {
  const { getKeysMax } = storeLimits;
  for (let at = 0; at < topics.length; at += getKeysMax) yield topics.slice(at, at + getKeysMax);
}

const brokersPartition = utf8("brokers");
const claimsPartition = utf8("claims");

function brokerKey(name: string): Key {
  return { partition: brokersPartition, sort: utf8(name) };
}

function claimsKey(topic: string): Key {
  return { partition: claimsPartition, sort: utf8(topic) };
}
