import type { Clock } from "../broker/ports/clock.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Settings } from "./options.ts";
import { errorOfAnswer, TassoError } from "./tasso-error.ts";

/** What the client uses of `fetch`. */
export type Fetch = (
  url: string,
  init: {
    readonly method: string;
    readonly headers: Record<string, string>;
    readonly body?: string | Uint8Array;
    readonly signal: AbortSignal;
  },
) => Promise<Response>;

/** Answers the headers that a request has to carry, among them those that it was given. */
export type Authorize = (request: {
  readonly method: string;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body?: string | Uint8Array;
}) => Promise<Record<string, string>> | Record<string, string>;

export interface HttpCall {
  readonly method: string;
  readonly path: string;
  /** Text is JSON; bytes are a batch. */
  readonly body?: string | Uint8Array | undefined;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

const batchType = "application/vnd.tasso.batch.v1";

/**
 * One request to one endpoint: signs it, waits for the answer, tells errors as `TassoError`. It tries nothing again;
 * that is for whoever knows whether it may.
 */
export class Http {
  readonly #settings: Settings;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** Answers the JSON of a success, `undefined` where there is none. */
  async call<T>(endpoint: Endpoint, { timeoutMs, signal, ...call }: HttpCall): Promise<T> {
    const { clock, fetch } = this.#settings;
    const url = endpoint.url + call.path;
    const { method, body } = call;
    const request = { method, ...(body === undefined ? {} : { body }) };
    const headers = await this.#headers(url, request);
    const cut = cutAfter(timeoutMs, clock, signal);
    const sentAt = clock.now();
    let response: Response;
    let text: string;
    try {
      if (signal?.aborted) throw signal.reason;
      const answered = fetch(url, { ...request, headers, signal: cut.signal });
      // Against a fetch that does not heed its signal.
      response = await Promise.race([answered, cut.happens]);
      text = await Promise.race([response.text(), cut.happens]);
    } catch (cause) {
      throw whyNoAnswer(cause, `${method} ${url}`, { signal, timeoutMs });
    } finally {
      cut.end();
    }
    endpoint.learnTime(response.headers.get("x-broker-time"), clock.now() - sentAt);
    const json = parsed(text);
    if (response.ok && json !== notJson) return json as T;
    throw errorOfAnswer(
      response.ok ? 502 : response.status,
      json === notJson ? undefined : json,
      response.headers,
    );
  }

  async #headers(
    url: string,
    request: { readonly method: string; readonly body?: string | Uint8Array },
  ): Promise<Record<string, string>> {
    const { token, authorize } = this.#settings;
    const headers: Record<string, string> = {};
    if (request.body !== undefined)
      headers["content-type"] = typeof request.body === "string" ? "application/json" : batchType;
    if (token !== undefined) {
      const bearer = typeof token === "string" ? token : await token();
      headers["authorization"] = `Bearer ${bearer}`;
    }
    return authorize === undefined ? headers : await authorize({ ...request, url, headers });
  }
}

/** Aborts after a time or with the caller. `happens` rejects then. */
function cutAfter(ms: number, clock: Clock, signal: AbortSignal | undefined) {
  const controller = new AbortController();
  const timer = new AbortController();
  const onAbort = () => controller.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  void clock.sleep(ms, timer.signal).then(() => {
    if (!timer.signal.aborted) controller.abort(new Error(`no answer within ${ms} ms`));
  });
  const happens = new Promise<never>((_, reject) => {
    controller.signal.addEventListener("abort", () => reject(controller.signal.reason), {
      once: true,
    });
  });
  happens.catch(() => undefined);
  return {
    signal: controller.signal,
    happens,
    end() {
      timer.abort();
      signal?.removeEventListener("abort", onAbort);
    },
  };
}

/** What Node tells of connections that were never made. Elsewhere nothing is told, and the outcome counts as unknown. */
const neverConnected = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
]);

function whyNoAnswer(
  cause: unknown,
  what: string,
  { signal, timeoutMs }: { signal: AbortSignal | undefined; timeoutMs: number },
): TassoError {
  if (signal?.aborted) {
    const told = "the caller aborted";
    return new TassoError("aborted", `${what}: ${told}`, { cause, outcomeUnknown: true });
  }
  const code = causes(cause).some((one) => neverConnected.has(one)) ? "unreachable" : "no_answer";
  const message = `${what}: ${cause instanceof Error ? cause.message : "no answer"}`;
  return new TassoError(code, message, { cause, details: { timeoutMs } });
}

function causes(error: unknown): string[] {
  const codes: string[] = [];
  for (let at = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth++) {
    const { code } = at as { code?: unknown };
    if (typeof code === "string") codes.push(code);
  }
  return codes;
}

const notJson = Symbol("not JSON");

function parsed(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return notJson;
  }
}
