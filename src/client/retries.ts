import { readU32 } from "../broker/bytes.ts";
import type { Settings } from "./options.ts";
import { isTassoError, TassoError } from "./tasso-error.ts";

/** Between attempts: a random time up to this, doubled each time up to the other ("full jitter"). */
const pauseMsFirst = 50;
const pauseMsMax = 1_000;

export interface Attempt {
  /** 1 for the first. */
  readonly number: number;
  /** So long its answer may be waited for. */
  readonly timeoutMs: number;
  /** Whether an attempt before may have had effects. */
  readonly outcomeUnknown: boolean;
}

export interface RetryOptions {
  /** When all attempts end, by the client's clock. */
  readonly deadline: number;
  readonly attemptTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Whether the same may be done twice: otherwise what has an unknown outcome is not tried again. */
  readonly idempotent: boolean;
  /** Whether what no attempt can change may be tried once more all the same: the caller knows better by now. */
  readonly again?: (error: TassoError) => boolean;
}

/** Tries until it succeeds, or cannot, or the time is over. The error then tells of all attempts, not of the last one. */
export async function withRetries<T>(
  { clock, random, ...settings }: Pick<Settings, "clock" | "random" | "attemptTimeoutMs">,
  options: RetryOptions,
  run: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  const { deadline, signal, idempotent, attemptTimeoutMs = settings.attemptTimeoutMs } = options;
  let outcomeUnknown = false;
  let last: TassoError | undefined;
  for (let number = 1; ; number++) {
    const left = deadline - clock.now();
    if (left <= 0 || signal?.aborted) {
      const ended = signal?.aborted ? aborted(signal) : (last ?? timedOut());
      throw ended.afterAll(number - 1, outcomeUnknown);
    }
    try {
      return await run({ number, timeoutMs: Math.min(left, attemptTimeoutMs), outcomeUnknown });
    } catch (error) {
      if (!isTassoError(error)) throw error;
      outcomeUnknown ||= error.outcomeUnknown;
      last = error;
      const mayRepeat =
        error.retryable && !notByWaiting.has(error.code) && (idempotent || !error.outcomeUnknown);
      if (!mayRepeat && options.again?.(error) !== true)
        throw error.afterAll(number, outcomeUnknown);
    }
    const bound = Math.min(pauseMsMax, pauseMsFirst * 2 ** (number - 1));
    const drawn = (readU32(random.bytes(4), 0) / 2 ** 32) * bound;
    const asked = last.details["retryAfterMs"];
    const pause = typeof asked === "number" ? asked + drawn : drawn;
    await clock.sleep(Math.min(pause, Math.max(0, deadline - clock.now())), signal);
  }
}

/** What goes away when somebody does something else, not by asking the same again. */
const notByWaiting: ReadonlySet<string> = new Set([
  "generation_stale",
  "group_has_members",
  "group_lags",
]);

export function aborted(signal: AbortSignal): TassoError {
  return new TassoError("aborted", "the caller aborted", { cause: signal.reason });
}

function timedOut(): TassoError {
  return new TassoError("timeout", "the time was over before anything was sent");
}
