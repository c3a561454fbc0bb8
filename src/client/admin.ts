import { type CallOptions, Connection } from "./connection.ts";
import type { ClientOptions } from "./options.ts";
import { ReceivedMessage, type ToldMessage } from "./received-message.ts";
import type { Broker } from "./routes.ts";

export interface TopicSettings {
  readonly queues?: number;
  readonly type?: "MIXED" | "NORMAL" | "FIFO" | "DELAY" | "TRANSACTION";
  readonly retentionMs?: number;
  readonly writable?: boolean;
}

export interface TopicFacts extends Required<Omit<TopicSettings, "queues">> {
  readonly topic: string;
  readonly createdAt: number;
}

export interface QueueEnds {
  readonly queue: number;
  /** The offset of the first message, and of the next one to come. */
  readonly min: number;
  readonly max: number;
}

export interface GroupSettings {
  readonly orderly?: boolean;
  readonly from?: "earliest" | "latest" | { readonly at: number };
  readonly maxAttempts?: number;
  readonly retryMs?: readonly number[];
  readonly filters?: Readonly<Record<string, string>>;
  readonly broadcast?: boolean;
  readonly maxInFlight?: number;
  readonly paused?: boolean;
}

export interface GroupFacts extends Required<GroupSettings> {
  readonly group: string;
  readonly topics: readonly string[];
  readonly createdAt: number;
}

export interface Lag {
  readonly queues: readonly {
    readonly queue: number;
    readonly committed?: number;
    readonly max: number;
    readonly lag: number;
    readonly inFlight: number;
  }[];
  readonly retry: { readonly lag: number; readonly inFlight: number };
  readonly total: number;
}

export interface DeadLetter {
  readonly message: ReceivedMessage;
  readonly origin: {
    readonly topic: string;
    readonly queue: number;
    readonly offset: number;
    readonly reason: string;
    readonly attempts: number;
    readonly deadAt: number;
  };
  readonly redriven: boolean;
}

export interface DelayedMessage {
  readonly topic: string;
  readonly queue: number;
  readonly messageId: string;
  readonly deliverAt: number;
  readonly recallHandle: string;
}

export interface TransactionFacts {
  readonly transactionId: string;
  readonly state: "PREPARED" | "COMMITTED" | "ROLLED_BACK" | "DISCARDED";
  readonly topic: string;
  readonly queue: number;
  readonly offset?: number;
  readonly messageId: string;
  readonly producerGroup: string;
  readonly preparedAt: number;
  readonly endedAt?: number;
}

export type ResetPoint =
  | "earliest"
  | "latest"
  | { readonly at: number | string }
  | { readonly offsets: Readonly<Record<string, number>> };

export interface ResetOptions extends CallOptions {
  /** Refused unless the offsets are these now. */
  readonly ifOffsets?: Readonly<Record<string, number>>;
  readonly dryRun?: boolean;
  /** Also while the group has members. */
  readonly force?: boolean;
}

type Query = Readonly<Record<string, string | number | boolean | undefined>>;

/** What administers one broker: the first endpoint of `brokers` that looks well. Lists come whole, page after page. */
export class Admin {
  readonly #connection: Connection;
  readonly #broker: Broker;

  /** @param options `brokers` are addresses of one and the same broker. */
  constructor(options: ClientOptions & { readonly brokers: readonly string[] }) {
    this.#connection = new Connection(options);
    const { routes, settings } = this.#connection;
    const endpoints = settings.brokers.map((url) => routes.endpoint(url));
    this.#broker = { name: settings.brokers[0] ?? "", endpoints };
  }

  /**
   * Any request of the API (GET /openapi.json); answers its JSON. Tried again under one deadline; say `idempotent: false`
   * of what may not be done twice.
   */
  request<T = unknown>(
    method: string,
    path: string,
    body?: unknown,
    options: CallOptions & { readonly waitMs?: number; readonly idempotent?: boolean } = {},
  ): Promise<T> {
    return this.#connection.request<T>(this.#broker, { method, path, json: body, ...options });
  }

  /** The same again changes nothing; with other settings it is `already_exists`. */
  createTopic(topic: string, settings: TopicSettings = {}): Promise<TopicFacts> {
    return this.request("PUT", `/v1/topics/${topic}`, settings);
  }

  changeTopic(topic: string, settings: TopicSettings): Promise<TopicFacts> {
    return this.request("PATCH", `/v1/topics/${topic}`, settings);
  }

  topic(topic: string): Promise<TopicFacts & { readonly queues: readonly QueueEnds[] }> {
    return this.request("GET", `/v1/topics/${topic}`);
  }

  topics(): AsyncGenerator<TopicFacts & { readonly queues: number }> {
    return this.#pages("/v1/topics", {}, "topics");
  }

  async deleteTopic(topic: string, { force = false } = {}): Promise<void> {
    await this.request("DELETE", withQuery(`/v1/topics/${topic}`, { force }));
  }

  createGroup(group: string, settings: GroupSettings = {}): Promise<GroupFacts> {
    return this.request("PUT", `/v1/groups/${group}`, settings);
  }

  changeGroup(group: string, settings: GroupSettings): Promise<GroupFacts> {
    return this.request("PATCH", `/v1/groups/${group}`, settings);
  }

  group(group: string): Promise<GroupFacts> {
    return this.request("GET", `/v1/groups/${group}`);
  }

  groups(): AsyncGenerator<GroupFacts> {
    return this.#pages("/v1/groups", {}, "groups");
  }

  async deleteGroup(group: string, { force = false } = {}): Promise<void> {
    await this.request("DELETE", withQuery(`/v1/groups/${group}`, { force }));
  }

  lag(group: string, topic: string): Promise<Lag> {
    return this.request("GET", `/v1/groups/${group}/lag/${topic}`);
  }

  /** Has a group begin anew elsewhere. */
  reset(
    group: string,
    topic: string,
    to: ResetPoint,
    { ifOffsets, dryRun, force, ...options }: ResetOptions = {},
  ): Promise<{ readonly before: Record<string, number>; readonly after: Record<string, number> }> {
    const body = { to, ifOffsets, dryRun, force };
    return this.request("POST", `/v1/groups/${group}/reset/${topic}`, body, options);
  }

  /** From the first that is still there, or from an offset, to the last one now. */
  async *deadLetters(group: string, from?: number): AsyncGenerator<DeadLetter> {
    for (let offset = from; ; ) {
      const page = await this.request<{
        messages: (ToldMessage & Omit<DeadLetter, "message">)[];
        nextOffset: number;
        maxOffset: number;
      }>("GET", withQuery(`/v1/groups/${group}/dead-letters`, { offset, max: 100 }));
      for (const { origin, redriven, ...told } of page.messages)
        yield { message: new ReceivedMessage(told, this.#broker.name), origin, redriven };
      if (page.messages.length === 0 || page.nextOffset >= page.maxOffset) return;
      offset = page.nextOffset;
    }
  }

  /** Has dead letters consumed once more by their group. None goes twice. */
  redrive(
    group: string,
    options: { readonly max?: number; readonly filter?: string; readonly dryRun?: boolean } = {},
  ): Promise<{ readonly moved: number; readonly remaining: number }> {
    return this.request("POST", `/v1/groups/${group}/redrive`, options);
  }

  /** Messages that wait, of a topic or all. */
  delayed(topic?: string): AsyncGenerator<DelayedMessage> {
    return this.#pages("/v1/delayed", { topic }, "delayed");
  }

  transactions(
    query: { readonly state?: TransactionFacts["state"]; readonly producerGroup?: string } = {},
  ): AsyncGenerator<TransactionFacts> {
    return this.#pages("/v1/transactions", query, "transactions");
  }

  /** Messages by key or id, stored at or after `from` and before `to`. */
  async *search(
    topic: string,
    query: {
      readonly key?: string;
      readonly messageId?: string;
      readonly from?: number;
      readonly to?: number;
    },
  ): AsyncGenerator<ReceivedMessage> {
    const found = this.#pages<ToldMessage>(`/v1/topics/${topic}/search`, query, "messages");
    for await (const told of found) yield new ReceivedMessage(told, this.#broker.name);
  }

  async *#pages<T>(path: string, query: Query, field: string): AsyncGenerator<T> {
    for (let cursor: string | undefined; ; ) {
      const page = await this.request<Record<string, unknown> & { nextCursor?: string }>(
        "GET",
        withQuery(path, { ...query, cursor }),
      );
      yield* page[field] as T[];
      cursor = page.nextCursor;
      if (cursor === undefined) return;
    }
  }
}

function withQuery(path: string, query: Query): string {
  const given = Object.entries(query).flatMap(([field, value]) =>
    value === undefined ? [] : [[field, String(value)] as [string, string]],
  );
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
}
