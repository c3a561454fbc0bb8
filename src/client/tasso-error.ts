import { errorTable } from "../broker/errors.ts";

interface Facts {
  readonly retry: "never" | "same" | "after";
  readonly effects: "none" | "unknown";
}

/** What goes wrong on this side of the wire, or in front of a broker; the rest is the broker's own table. */
const clientErrors = {
  /** No connection was made, so nothing was sent. */
  unreachable: { retry: "after", effects: "none" },
  /** The request was sent, or begun, and no answer came. */
  no_answer: { retry: "same", effects: "unknown" },
  /** A gateway in front of the broker gave up, or answered something that is not the broker's. */
  bad_gateway: { retry: "same", effects: "unknown" },
  /** A gateway refused for too many requests. */
  rate_limited: { retry: "after", effects: "none" },
  /** The time was over before anything was sent. */
  timeout: { retry: "after", effects: "none" },
  /** The caller's signal. */
  aborted: { retry: "never", effects: "none" },
  /** The client was closed before. */
  closed: { retry: "never", effects: "none" },
  /** The client was asked for what it cannot do as it was made. */
  misuse: { retry: "never", effects: "none" },
} as const satisfies Record<string, Facts>;

const facts: Readonly<Record<string, Facts>> = { ...errorTable, ...clientErrors };

export type TassoErrorCode = keyof typeof errorTable | keyof typeof clientErrors;

export interface TassoErrorOptions extends ErrorOptions {
  readonly details?: Readonly<Record<string, unknown>>;
  readonly requestId?: string | undefined;
  /** What came before may have had effects, whatever this error says of itself. */
  readonly outcomeUnknown?: boolean;
}

const brand = Symbol.for("tasso.TassoError");

/** Every error of the client. `code` and `details` are part of the contract, `message` is for people. */
export class TassoError extends Error {
  override readonly name = "TassoError";
  /** A code of the broker (GET /openapi.json lists them), or one of the client's own. */
  readonly code: TassoErrorCode | (string & {});
  /** Which field, what was given, what is allowed; or what else the code says. */
  readonly details: Readonly<Record<string, unknown>>;
  /** The request as the broker's log knows it; absent where no answer came. */
  readonly requestId: string | undefined;
  /** Whether what was asked for may have been done all the same. False: it surely was not. */
  readonly outcomeUnknown: boolean;
  readonly [brand] = true;

  constructor(code: string, message: string, options: TassoErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.details = options.details ?? {};
    this.requestId = options.requestId;
    this.outcomeUnknown = options.outcomeUnknown === true || facts[code]?.effects === "unknown";
  }

  /** Whether the same can succeed later. */
  get retryable(): boolean {
    return facts[this.code]?.retry !== undefined && facts[this.code]?.retry !== "never";
  }

  /** Told not of one attempt but of all: whether any of them may have had effects. */
  afterAll(attempts: number, outcomeUnknown: boolean): TassoError {
    const { code, message, requestId, cause } = this;
    const details = { ...this.details, attempts };
    return new TassoError(code, message, { details, requestId, outcomeUnknown, cause });
  }
}

/** By brand, not by class, so that an error from another copy of the package is still known. */
export function isTassoError(error: unknown): error is TassoError {
  return error instanceof Error && brand in error;
}

interface ErrorBody {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly requestId?: string;
}

/** The error of an answer that is none of success. What has no body of the broker's comes from a gateway in front of it. */
export function errorOfAnswer(status: number, json: unknown, headers: Headers): TassoError {
  const body = (typeof json === "object" && json !== null ? json : {}) as ErrorBody;
  const requestId = body.requestId ?? headers.get("x-request-id") ?? undefined;
  const message = typeof body.message === "string" ? body.message : `status ${status}`;
  if (typeof body.code === "string") return toldError(body.code, message, body.details, requestId);
  const details = { status, ...retryAfterOf(headers) };
  return new TassoError(gatewayCode(status), message, { details, requestId });
}

/** An error as the broker tells it, of a request or of one entry of it. */
export function toldError(
  code: string,
  message: string,
  details: Readonly<Record<string, unknown>> = {},
  requestId?: string,
): TassoError {
  // Of a batch in which nothing was accepted the first one's error is told; another's outcome may be unknown.
  const { results = [] } = details as {
    readonly results?: readonly { error?: { code: string } }[];
  };
  const outcomeUnknown = results.some(
    ({ error }) => error !== undefined && facts[error.code]?.effects === "unknown",
  );
  return new TassoError(code, message, { details, requestId, outcomeUnknown });
}

function gatewayCode(status: number): TassoErrorCode {
  if (status === 401) return "unauthenticated";
  if (status === 403) return "permission_denied";
  if (status === 404) return "route_not_found";
  if (status === 413) return "batch_too_large";
  if (status === 429) return "rate_limited";
  return status >= 500 ? "bad_gateway" : "bad_request";
}

function retryAfterOf(headers: Headers): { readonly retryAfterMs?: number } {
  const seconds = Number(headers.get("retry-after") ?? Number.NaN);
  return Number.isFinite(seconds) ? { retryAfterMs: seconds * 1_000 } : {};
}
