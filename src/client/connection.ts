import type { Endpoint } from "./endpoint.ts";
import { Http, type HttpCall } from "./http.ts";
import { type ClientOptions, type Settings, settingsOf } from "./options.ts";
import { type Attempt, aborted, type RetryOptions, withRetries } from "./retries.ts";
import { type Broker, preferred, type Route, Routes, saysBroken } from "./routes.ts";
import { isTassoError, TassoError } from "./tasso-error.ts";
import { traced } from "./tracing.ts";

export interface CallOptions {
  /** All attempts together (ms). @default the client's own */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface RequestOptions extends CallOptions {
  readonly method: string;
  readonly path: string;
  readonly json?: unknown;
  /** Added to the time of an attempt: so long the broker may wait itself. */
  readonly waitMs?: number;
  /** Whether it may be done twice. @default true */
  readonly idempotent?: boolean;
}

/** What all clients stand on: settings, routes, requests that are tried again. */
export class Connection {
  readonly settings: Settings;
  readonly routes: Routes;
  readonly #http: Http;

  constructor(options: ClientOptions) {
    this.settings = settingsOf(options);
    this.#http = new Http(this.settings);
    this.routes = new Routes(this.settings, this.#http);
  }

  /** The route of a topic, asked for until somebody answers or the time is over. */
  route(
    topic: string,
    { timeoutMs = this.settings.timeoutMs, signal }: CallOptions = {},
  ): Promise<Route> {
    const options = { idempotent: true, signal, deadline: this.#deadline(timeoutMs) };
    return withRetries(this.settings, options, (attempt) => this.routes.get(topic, attempt));
  }

  /** The address of a broker that is to be asked next. */
  endpointOf({ name, endpoints }: Broker): Endpoint {
    const [first] = preferred(endpoints);
    if (first === undefined) throw new TassoError("unreachable", `broker ${name} has no endpoint`);
    return first;
  }

  /** One attempt, and what it says of the endpoint is remembered. */
  async call<T>(endpoint: Endpoint, call: HttpCall, waitMs = 0): Promise<T> {
    const { clock } = this.settings;
    const startedAt = clock.now();
    try {
      const answer = await this.#http.call<T>(endpoint, call);
      if (waitMs === 0) endpoint.tookMs(clock.now() - startedAt);
      return answer;
    } catch (error) {
      if (isTassoError(error) && saysBroken(error)) endpoint.failed();
      throw error;
    }
  }

  /** A request with JSON both ways, tried again where it may be, each time at the address that looks best. */
  request<T>(broker: Broker, request: RequestOptions): Promise<T> {
    const body = request.json === undefined ? undefined : JSON.stringify(request.json);
    const { method, path, signal, waitMs = 0 } = request;
    return this.retried(request, ({ timeoutMs }) =>
      this.call<T>(
        this.endpointOf(broker),
        { method, path, body, signal, timeoutMs: timeoutMs + waitMs },
        waitMs,
      ),
    );
  }

  retried<T>(
    request: Pick<RequestOptions, "timeoutMs" | "waitMs" | "signal" | "idempotent">,
    run: (attempt: Attempt) => Promise<T>,
  ): Promise<T> {
    const { signal, waitMs = 0, idempotent = true } = request;
    const { timeoutMs = this.settings.timeoutMs } = request;
    const options: RetryOptions = {
      deadline: this.#deadline(timeoutMs + waitMs),
      idempotent,
      signal,
    };
    return withRetries(this.settings, options, run);
  }

  traced<T>(operation: string, context: object, run: () => Promise<T>): Promise<T> {
    return traced(operation, context, run);
  }

  /** Every error of the client is a `TassoError`; anything else is a bug, and is told as one. */
  asTassoError(error: unknown): TassoError {
    if (isTassoError(error)) return error;
    return new TassoError("internal", "a bug of the client", { cause: error });
  }

  /** Sleeps, and throws where the caller aborts. */
  async pause(ms: number, signal?: AbortSignal): Promise<void> {
    await this.settings.clock.sleep(ms, signal);
    if (signal?.aborted) throw aborted(signal);
  }

  #deadline(timeoutMs: number): number {
    return this.settings.clock.now() + timeoutMs;
  }
}
