import type { MiddlewareStack } from "@smithy/types";
import type { Clock } from "../../broker/ports/clock.ts";
import { Damaged, Unavailable } from "../../broker/ports/failures.ts";

/** An attempt failed and surely had no effect; the next one may succeed. */
export class NoEffect extends Error {
  override readonly name = "NoEffect";
}

export interface AttemptOptions {
  readonly clock: Clock;
  /** Nothing is sent later than this (ms since the epoch), and what is under way is then cut off. */
  readonly until: number;
  /** After so long an attempt is given up and the next one begins. */
  readonly attemptMs: number;
}

/** One of several attempts at the same call. */
export class Attempt {
  /** Whether an earlier attempt may have had its effect. */
  readonly inDoubt: boolean;
  /** From here on this one may have had it too. */
  sent = false;
  readonly #clock: Clock;
  readonly #end: number;
  readonly #until: number;
  readonly #over = new AbortController();
  readonly #cut = new AbortController();

  constructor({ clock, until, attemptMs }: AttemptOptions, inDoubt: boolean) {
    this.inDoubt = inDoubt;
    this.#clock = clock;
    this.#until = until;
    this.#end = Math.min(until, clock.now() + attemptMs);
    void this.#cutAtEnd();
  }

  /** Aborts the request at the end of its time. */
  get signal(): AbortSignal {
    return this.#cut.signal;
  }

  /**
   * Makes a command look at the clock as the last thing before its request is sent: credentials and signing take time,
   * and a process may be stopped for as long as it likes.
   */
  guard<Input extends object, Output extends object>(command: {
    readonly middlewareStack: MiddlewareStack<Input, Output>;
  }): void {
    command.middlewareStack.add(
      (next) => (args) => {
        this.beforeSending();
        return next(args);
      },
      { step: "deserialize", priority: "low", name: "beforeSending" },
    );
  }

  beforeSending(): void {
    if (this.#clock.now() > this.#until) throw new NoEffect("it was too late to send");
    this.sent = true;
  }

  close(): void {
    this.#over.abort();
  }

  async #cutAtEnd(): Promise<void> {
    while (this.#clock.now() <= this.#end) {
      await this.#clock.sleep(this.#end - this.#clock.now() + 1, this.#over.signal);
      if (this.#over.signal.aborted) return;
    }
    this.#cut.abort();
  }
}

const backOffMsMin = 20;
const backOffMsMax = 1_000;

/** With less time left it is not tried again: an attempt that is cut off turns a sure "no" into a "maybe". */
const retryMsMin = 100;

/**
 * Makes a call, again while it fails in a way that may pass, until it is answered or its time is over. Then it is
 * `unknown` if an attempt may have had its effect; if surely none had, `Unavailable` is thrown. What else `run` throws,
 * a bug or damage, comes through.
 */
export async function attempts<T>(
  options: AttemptOptions,
  run: (attempt: Attempt) => Promise<T>,
): Promise<T | "unknown"> {
  const { clock, until } = options;
  let inDoubt = false;
  let cause: unknown;
  for (let backOffMs = backOffMsMin; clock.now() <= until; ) {
    const attempt = new Attempt(options, inDoubt);
    try {
      return await run(attempt);
    } catch (error) {
      cause = error;
      const failure = judgeFailure(error, attempt.sent);
      if (failure === "bug") throw error;
      if (failure === "doubt") inDoubt = true;
      if (failure === "hopeless") break;
    } finally {
      attempt.close();
    }
    const pauseMs = backOffMs * (0.5 + Math.random() / 2);
    if (clock.now() + pauseMs + retryMsMin > until) break;
    await clock.sleep(pauseMs);
    backOffMs = Math.min(2 * backOffMs, backOffMsMax);
  }
  if (inDoubt) return "unknown";
  throw new Unavailable("AWS did not do it in time", { cause });
}

/** The same for a call that only reads, or that anybody may repeat: its caller does the same after `unknown`. */
export async function attemptsAtWill<T>(
  options: AttemptOptions,
  run: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  let last: unknown;
  const answer = await attempts(options, async (attempt) => {
    try {
      return { value: await run(attempt) };
    } catch (error) {
      last = error;
      throw error;
    }
  });
  if (answer === "unknown") throw new Unavailable("AWS did not answer in time", { cause: last });
  return answer.value;
}

/** `again` and `hopeless` surely had no effect; `hopeless` is what waiting does not help against, such as a missing right. */
type Failure = "again" | "doubt" | "hopeless" | "bug";

/** AWS refused these for load, or because of another request for the same thing that was under way. */
const refusedForNow = new Set([
  "ProvisionedThroughputExceededException",
  "ReplicatedWriteConflictException",
  "RequestLimitExceeded",
  "RequestTimeout",
  "SlowDown",
  "ThrottlingException",
  "TooManyRequestsException",
  "TransactionConflictException",
  "TransactionInProgressException",
]);

const neverConnected = new Set([
  "EAI_AGAIN",
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
]);

/** No credentials could be had, or the time was over before they were. */
const notSent = new Set(["AbortError", "CredentialsProviderError", "TokenProviderError"]);

const malformed = new Set(["SerializationException", "ValidationException"]);

/** What the SDK throws: a service's error, or one of the network, also of an answer that broke off. */
interface SdkError extends Error {
  /** Whose fault the service says it is. Not there: it is not the service that says this. */
  readonly $fault?: "client" | "server";
  readonly $metadata?: { readonly httpStatusCode?: number; readonly clockSkewCorrected?: boolean };
  readonly code?: string;
}

export function judgeFailure(thrown: unknown, sent: boolean): Failure {
  if (thrown instanceof NoEffect) return "again";
  if (thrown instanceof Unavailable) return "hopeless";
  if (!(thrown instanceof Error) || thrown instanceof Damaged) return "bug";
  const { name, code = "", $fault, $metadata = {} }: SdkError = thrown;
  if (neverConnected.has(code)) return "again";
  if (!sent) return notSent.has(name) ? "hopeless" : "bug";
  const { httpStatusCode: status = 0, clockSkewCorrected } = $metadata;
  // The SDK learnt the time from the refusal and will sign the next request with it.
  if (clockSkewCorrected || status === 429 || refusedForNow.has(name)) return "again";
  if ($fault === undefined || status < 400 || status >= 500) return "doubt";
  return malformed.has(name) ? "bug" : "hopeless";
}
