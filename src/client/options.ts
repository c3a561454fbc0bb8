import { SystemClock } from "../adapters/local/system-clock.ts";
import type { Clock } from "../broker/ports/clock.ts";
import type { Random } from "../broker/ports/random.ts";
import type { Authorize, Fetch } from "./http.ts";
import { TassoError } from "./tasso-error.ts";

/** What every client is made with: where brokers are, who calls, and what it stands on. */
export interface ClientOptions {
  /** Endpoints of brokers, as in `http://127.0.0.1:1290`. Either these or `nameServers`. */
  readonly brokers?: readonly string[];
  /** Endpoints of name servers; any that answers is believed. */
  readonly nameServers?: readonly string[];
  /** A bearer token, or what answers one for each request. */
  readonly token?: string | (() => string | Promise<string>);
  /** Headers that prove who calls, for each request: see `sigV4` in "tasso/sigv4". */
  readonly authorize?: Authorize;
  /** How requests get on their way. @default globalThis.fetch */
  readonly fetch?: Fetch;
  /** All attempts of a call together take so long (ms). @default 3000, RocketMQ's sendMsgTimeout */
  readonly timeoutMs?: number;
  /** An attempt that is not answered in this time is made again (ms). @default a third of `timeoutMs`: RocketMQ makes three */
  readonly attemptTimeoutMs?: number;
  /** Time, for tests. */
  readonly clock?: Clock;
  /** Randomness, for tests. It makes ids, so it has to be strong. */
  readonly random?: Random;
}

/** The same with every default in its place. */
export interface Settings {
  readonly brokers: readonly string[];
  readonly nameServers: readonly string[];
  readonly token: ClientOptions["token"];
  readonly authorize: Authorize | undefined;
  readonly fetch: Fetch;
  readonly timeoutMs: number;
  readonly attemptTimeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
}

const timeoutMsDefault = 3_000;
/** A batch lands once for 10 minutes after its first attempt; the last one must have arrived by then. */
const timeoutMsMax = 9 * 60_000;

/** Fills in the defaults. Throws `misuse` where the options make no sense. */
export function settingsOf(options: ClientOptions): Settings {
  const { brokers = [], nameServers = [] } = options;
  if ((brokers.length === 0) === (nameServers.length === 0))
    throw misuse("brokers", brokers.length, "given, or nameServers instead: one of the two");
  const timeoutMs = checkedTimeout(options.timeoutMs ?? timeoutMsDefault, "timeoutMs");
  const attemptTimeoutMs = checkedTimeout(
    options.attemptTimeoutMs ?? Math.ceil(timeoutMs / 3),
    "attemptTimeoutMs",
  );
  return {
    brokers: brokers.map((url, index) => endpointUrl(url, `brokers[${index}]`)),
    nameServers: nameServers.map((url, index) => endpointUrl(url, `nameServers[${index}]`)),
    token: options.token,
    authorize: options.authorize,
    // Not bound once: whoever replaces the global one later, as tracers do, is heeded.
    fetch: options.fetch ?? ((url, init) => globalThis.fetch(url, init as RequestInit)),
    timeoutMs,
    attemptTimeoutMs,
    clock: options.clock ?? new SystemClock(),
    random: options.random ?? webRandom,
  };
}

/** A limit of time that a call brings. */
export function checkedTimeout(ms: number, field: string): number {
  if (Number.isInteger(ms) && ms >= 1 && ms <= timeoutMsMax) return ms;
  throw misuse(field, ms, `1 to ${timeoutMsMax} whole milliseconds`);
}

export function misuse(field: string, given: unknown, allowed: string): TassoError {
  return new TassoError("misuse", `${field} must be ${allowed}`, {
    details: { field, given, allowed },
  });
}

function endpointUrl(text: string, field: string): string {
  let url: URL | undefined;
  try {
    url = new URL(text);
  } catch {
    // Told below.
  }
  if (url?.protocol !== "http:" && url?.protocol !== "https:")
    throw misuse(field, text, "an http or https URL");
  return text.replace(/\/+$/, "");
}

const webRandom: Random = { bytes: (length) => crypto.getRandomValues(new Uint8Array(length)) };
