import { Endpoint } from "./endpoint.ts";
import type { Http } from "./http.ts";
import { misuse, type Settings } from "./options.ts";
import { isTassoError, TassoError } from "./tasso-error.ts";

/** RocketMQ's pollNameServerInterval: a route is asked for again after this time (ms). */
const routeAgeMsMax = 30_000;

/** One queue of a topic at one broker. */
export interface RouteQueue {
  /** The name of the broker. */
  readonly broker: string;
  readonly queue: number;
  readonly readable: boolean;
  readonly writable: boolean;
}

/** Where a topic is: its queues at all brokers, in an order that is the same for every client. */
export interface Route {
  readonly topic: string;
  /** By the name of the broker, then by number. */
  readonly queues: readonly RouteQueue[];
  readonly brokers: ReadonlyMap<string, Broker>;
  /** Equal in two routes that lead to the same places. */
  readonly key: string;
}

/** A broker and its addresses. */
export interface Broker {
  readonly name: string;
  readonly endpoints: readonly Endpoint[];
}

interface ToldRoute {
  readonly queues: readonly {
    readonly broker: string;
    readonly queue: number;
    readonly permission?: string | number;
  }[];
  readonly brokers: readonly { readonly name: string; readonly endpoint: string }[];
}

interface Known {
  readonly route: Route;
  readonly askedAt: number;
}

interface AskOptions {
  readonly timeoutMs: number;
}

/** Asks where topics are and remembers it for 30 s. */
export class Routes {
  readonly #settings: Settings;
  readonly #http: Http;
  readonly #endpoints = new Map<string, Endpoint>();
  readonly #known = new Map<string, Known>();
  readonly #asking = new Map<string, Promise<Route>>();
  /** Brokers that do not answer the question for routes. */
  readonly #withoutRoutes = new Set<Endpoint>();

  constructor(settings: Settings, http: Http) {
    this.#settings = settings;
    this.#http = http;
  }

  endpoint(url: string): Endpoint {
    const known = this.#endpoints.get(url);
    if (known !== undefined) return known;
    const made = new Endpoint(url, this.#settings.clock);
    this.#endpoints.set(url, made);
    return made;
  }

  /** The broker that a message is from, as it is known. */
  brokerOf({ topic, broker: name }: { readonly topic: string; readonly broker: string }): Broker {
    const broker = this.#known.get(topic)?.route.brokers.get(name);
    if (broker !== undefined) return broker;
    throw misuse("message.broker", name, `a broker of ${topic} that this client knows`);
  }

  isFresh(topic: string): boolean {
    const known = this.#known.get(topic);
    return known !== undefined && this.#settings.clock.now() - known.askedAt < routeAgeMsMax;
  }

  /**
   * The route of a topic, at most 30 s old where anybody answers, else the last one known. Throws `topic_not_found`
   * where all who answer know none.
   */
  async get(topic: string, options: AskOptions): Promise<Route> {
    const known = this.#known.get(topic);
    if (known !== undefined && this.isFresh(topic)) return known.route;
    const asking = this.#asking.get(topic) ?? this.#ask(topic, options);
    this.#asking.set(topic, asking);
    try {
      return await asking;
    } catch (error) {
      if (known === undefined || !isTassoError(error) || error.code === "topic_not_found")
        throw error;
      return known.route;
    } finally {
      if (this.#asking.get(topic) === asking) this.#asking.delete(topic);
    }
  }

  /** The next one who needs it asks again: it led to nothing. */
  forget(topic: string): void {
    const known = this.#known.get(topic);
    if (known !== undefined)
      this.#known.set(topic, { ...known, askedAt: Number.NEGATIVE_INFINITY });
  }

  async #ask(topic: string, options: AskOptions): Promise<Route> {
    const { clock, nameServers, brokers } = this.#settings;
    const askedAt = clock.now();
    const told =
      nameServers.length > 0
        ? await this.#askAny(topic, nameServers, options)
        : merged(await this.#askAll(topic, brokers, options));
    const route = this.#routeOf(topic, told);
    this.#known.set(topic, { route, askedAt });
    return route;
  }

  /** The first who knows the topic: name servers do not know each other, and one that just began knows nothing. */
  async #askAny(topic: string, urls: readonly string[], options: AskOptions): Promise<ToldRoute> {
    const errors: unknown[] = [];
    const endpoints = urls.map((url) => this.endpoint(url));
    for (const endpoint of preferred(endpoints)) {
      try {
        return await this.#askRoute(topic, endpoint, options);
      } catch (error) {
        errors.push(error);
      }
    }
    throw worst(errors);
  }

  /** Each broker knows of itself. Those that do not answer are left out as long as one does. */
  async #askAll(topic: string, urls: readonly string[], options: AskOptions): Promise<ToldRoute[]> {
    const asked = urls.map((url) => this.#askBroker(topic, this.endpoint(url), options));
    const answers = await Promise.allSettled(asked);
    const told = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
    if (told.length > 0) return told;
    throw worst(
      answers.map((answer) => (answer.status === "rejected" ? answer.reason : undefined)),
    );
  }

  async #askBroker(topic: string, endpoint: Endpoint, options: AskOptions): Promise<ToldRoute> {
    if (!this.#withoutRoutes.has(endpoint)) {
      try {
        const told = await this.#askRoute(topic, endpoint, options);
        // It tells of itself, and is reached here: what it takes for its address may be that of others' way to it.
        return {
          ...told,
          brokers: told.brokers.map((each) => ({ ...each, endpoint: endpoint.url })),
        };
      } catch (error) {
        if (!isTassoError(error) || error.code !== "route_not_found") throw error;
        this.#withoutRoutes.add(endpoint);
      }
    }
    const path = `/v1/topics/${encodeURIComponent(topic)}`;
    const { queues } = await this.#call<{ queues: { queue: number }[] }>(endpoint, path, options);
    const { url } = endpoint;
    return {
      queues: queues.map(({ queue }) => ({ broker: url, queue })),
      brokers: [{ name: url, endpoint: url }],
    };
  }

  #askRoute(topic: string, endpoint: Endpoint, options: AskOptions): Promise<ToldRoute> {
    return this.#call(endpoint, `/v1/routes/${encodeURIComponent(topic)}`, options);
  }

  async #call<T>(endpoint: Endpoint, path: string, options: AskOptions): Promise<T> {
    try {
      return await this.#http.call<T>(endpoint, { method: "GET", path, ...options });
    } catch (error) {
      if (isTassoError(error) && saysBroken(error)) endpoint.failed();
      throw error;
    }
  }

  #routeOf(topic: string, told: ToldRoute): Route {
    const brokers = new Map<string, { name: string; endpoints: Endpoint[] }>();
    for (const { name, endpoint } of told.brokers) {
      const url = endpoint.replace(/\/+$/, "");
      const known = brokers.get(name) ?? { name, endpoints: [] };
      const one = this.endpoint(url);
      if (!known.endpoints.includes(one)) known.endpoints.push(one);
      brokers.set(name, known);
    }
    const queues = told.queues
      .filter(({ broker }) => brokers.has(broker))
      .map(({ broker, queue, permission }) => ({ broker, queue, ...rightsOf(permission) }))
      .sort((a, b) => (a.broker === b.broker ? a.queue - b.queue : a.broker < b.broker ? -1 : 1));
    if (queues.length === 0) throw new TassoError("topic_not_found", `${topic} has no queues`);
    const key = queues.map(({ broker, queue }) => `${broker} ${queue}`).join();
    return { topic, queues, brokers, key };
  }
}

/** Whether an error speaks against the endpoint, not against the request. */
export function saysBroken({ code }: TassoError): boolean {
  return ["unreachable", "no_answer", "bad_gateway", "unavailable", "internal"].includes(code);
}

/** Those that nothing is known against first; then who is avoided for the shortest time. */
export function preferred<E extends Pick<Endpoint, "available" | "avoidUntil">>(
  endpoints: readonly E[],
): E[] {
  const until = (one: E) => (one.available ? 0 : one.avoidUntil);
  return [...endpoints].sort((a, b) => until(a) - until(b));
}

/** Several processes of one broker tell the same name; its queues count once. */
function merged(routes: readonly ToldRoute[]): ToldRoute {
  const queues = new Map(
    routes.flatMap((route) => route.queues.map((one) => [`${one.broker} ${one.queue}`, one])),
  );
  return { queues: [...queues.values()], brokers: routes.flatMap(({ brokers }) => brokers) };
}

/** As in "rw", or RocketMQ's bits: 4 to read, 2 to write. */
function rightsOf(permission: string | number = "rw") {
  if (typeof permission === "number")
    return { readable: (permission & 4) > 0, writable: (permission & 2) > 0 };
  return { readable: permission.startsWith("r"), writable: permission.includes("w") };
}

/** What is told where nobody answered what was asked: that a topic is not there only if nobody was silent. */
function worst(errors: readonly unknown[]): unknown {
  const silent = errors.find((error) => !isTassoError(error) || error.code !== "topic_not_found");
  return silent ?? errors[0] ?? misuse("brokers", 0, "at least one");
}
