import type { BrokerIdentity } from "../broker/broker-identity.ts";
import type { Ports } from "../broker/ports/ports.ts";
import type { RequestBroker } from "../broker/request-broker.ts";
import { nameServerLimits } from "./limits.ts";

/** What of `fetch` it uses: a deployed broker signs its requests. */
export type Send = (
  url: string,
  init: {
    readonly method: string;
    readonly headers: Record<string, string>;
    readonly body: string;
  },
) => Promise<Response>;

export interface RegistrarOptions {
  readonly broker: Pick<RequestBroker, "topics">;
  readonly identity: BrokerIdentity;
  /** Base URLs of name servers. Each is told everything, for they do not know each other. */
  readonly nameServers: readonly string[];
  readonly leaseMs: number;
  /** @default globalThis.fetch */
  readonly send?: Send;
  /** What every name server wants to see. */
  readonly token?: string;
  /** Told of a name server that does not take it, and of each topic that belongs to another broker, once. */
  readonly onError: (error: unknown) => void;
}

/** A name server is not waited for longer than this (ms), so that one that hangs does not keep the others waiting. */
const patienceMs = 5_000;

/** Tells name servers of a broker and its topics. */
export class Registrar {
  readonly #options: RegistrarOptions;
  /** Since when topics are this broker's, by what name servers answered. One that has forgotten is told so. */
  readonly #since = new Map<string, number>();
  readonly #told = new Set<string>();

  constructor(options: RegistrarOptions) {
    this.#options = options;
  }

  /** Registers the topics as they are now, or says that the broker goes. Answers whether all name servers took it. */
  async beat(io: Ports, { leaves = false }: { readonly leaves?: boolean } = {}): Promise<boolean> {
    const { identity, nameServers, leaseMs } = this.#options;
    const { name, endpoint, region } = identity;
    const topics = await this.#topics(io);
    const body = JSON.stringify({
      endpoint,
      ...(region === undefined ? {} : { region }),
      leaseMs: leaves ? 0 : leaseMs,
      topics,
    });
    const path = `/v1/brokers/${encodeURIComponent(name)}`;
    const taken = await Promise.all(
      nameServers.map((nameServer) => this.#register(nameServer, nameServer + path, body)),
    );
    return taken.every(Boolean);
  }

  async #topics(io: Ports): Promise<Record<string, object>> {
    const { broker } = this.#options;
    const told: Record<string, object> = {};
    let after: string | undefined;
    do {
      const { topics, next } = await broker.topics.list(io, { after, limit: 1_000 });
      for (const { name, queues, writable, shared } of topics) {
        const since = this.#since.get(name);
        told[name] = { queues, writable, shared, ...(since === undefined ? {} : { since }) };
      }
      after = next;
    } while (after !== undefined);
    return told;
  }

  async #register(nameServer: string, url: string, body: string): Promise<boolean> {
    const { send = fetch as Send, token } = this.#options;
    const headers: Record<string, string> = { "content-type": "application/json" };
    if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
    try {
      const signal = AbortSignal.timeout(patienceMs);
      const response = await send(url, { method: "PUT", headers, body, ...{ signal } });
      const text = await response.text();
      if (!response.ok) throw new Error(`it answered ${response.status}: ${text.slice(0, 500)}`);
      this.#learn(nameServer, JSON.parse(text));
      this.#told.delete(nameServer);
      return true;
    } catch (cause) {
      this.#tellOnce(nameServer, `name server ${nameServer} does not take this broker`, cause);
      return false;
    }
  }

  #learn(
    nameServer: string,
    { topics }: { topics: Record<string, { since: number } | { error: { message: string } }> },
  ): void {
    for (const [topic, granted] of Object.entries(topics)) {
      const about = `${nameServer} ${topic}`;
      if ("error" in granted) {
        this.#tellOnce(about, `name server ${nameServer} refused: ${granted.error.message}`);
        continue;
      }
      this.#told.delete(about);
      this.#since.set(topic, Math.min(this.#since.get(topic) ?? granted.since, granted.since));
    }
  }

  #tellOnce(about: string, message: string, cause?: unknown): void {
    if (this.#told.has(about)) return;
    this.#told.add(about);
    this.#options.onError(new Error(message, { cause }));
  }
}

/**
 * Beats until `signal` aborts, and then says that the broker goes: every 30 s, at once when a topic changes, and every
 * 2 s while a name server does not answer.
 */
export async function beatUntil(
  registrar: Registrar,
  { topics, ports }: RequestBroker,
  { signal, onError, beatMs = nameServerLimits.beatMs }: BeatOptions,
): Promise<void> {
  let rest = new AbortController();
  let changed = false;
  const wake = () => rest.abort();
  signal.addEventListener("abort", wake);
  topics.onChanged = () => {
    changed = true;
    wake();
  };
  while (!signal.aborted) {
    changed = false;
    const all = await registrar.beat(ports).catch((error) => {
      onError(error);
      return false;
    });
    if (changed || signal.aborted) continue;
    rest = new AbortController();
    const ms = all ? beatMs : Math.min(beatMs, nameServerLimits.beatAgainMs);
    await ports.clock.sleep(ms, rest.signal);
  }
  topics.onChanged = () => undefined;
  await registrar.beat(ports, { leaves: true }).catch(onError);
}

export interface BeatOptions {
  readonly signal: AbortSignal;
  readonly onError: (error: unknown) => void;
  /** @default 30,000 */
  readonly beatMs?: number;
}
