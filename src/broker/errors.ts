/**
 * Every error that a caller can meet, in order of precedence: where several apply, the first one is answered.
 *
 * - `retry`: whether the same request can succeed later. `same`: at once, with the same batch id; `after`: after a pause.
 * - `effects`: whether the failed request may have changed something all the same.
 */
export const errorTable = {
  unauthenticated: { status: 401, retry: "never", effects: "none" },
  permission_denied: { status: 403, retry: "never", effects: "none" },
  bad_request: { status: 400, retry: "never", effects: "none" },
  route_not_found: { status: 404, retry: "never", effects: "none" },
  method_not_allowed: { status: 405, retry: "never", effects: "none" },
  misdirected: { status: 421, retry: "never", effects: "none" },
  unsupported_media_type: { status: 415, retry: "never", effects: "none" },
  message_too_large: { status: 413, retry: "never", effects: "none" },
  batch_too_large: { status: 413, retry: "never", effects: "none" },
  invalid: { status: 422, retry: "never", effects: "none" },
  type_mismatch: { status: 422, retry: "never", effects: "none" },
  clock_skew: { status: 422, retry: "never", effects: "none" },
  retry_window_passed: { status: 422, retry: "never", effects: "unknown" },
  idempotency_key_reused: { status: 422, retry: "never", effects: "none" },
  topic_not_found: { status: 404, retry: "never", effects: "none" },
  queue_not_found: { status: 404, retry: "never", effects: "none" },
  message_not_found: { status: 404, retry: "never", effects: "none" },
  broker_not_found: { status: 404, retry: "never", effects: "none" },
  group_not_found: { status: 404, retry: "never", effects: "none" },
  delayed_not_found: { status: 404, retry: "never", effects: "none" },
  transaction_not_found: { status: 404, retry: "never", effects: "none" },
  topic_not_writable: { status: 403, retry: "never", effects: "none" },
  topic_owned: { status: 409, retry: "never", effects: "none" },
  already_exists: { status: 409, retry: "never", effects: "none" },
  recall_too_late: { status: 409, retry: "never", effects: "none" },
  transaction_ended: { status: 409, retry: "never", effects: "none" },
  receipt_stale: { status: 409, retry: "never", effects: "none" },
  filter_conflict: { status: 409, retry: "never", effects: "none" },
  generation_stale: { status: 409, retry: "after", effects: "none" },
  group_has_members: { status: 409, retry: "after", effects: "none" },
  condition_failed: { status: 412, retry: "never", effects: "none" },
  group_lags: { status: 409, retry: "after", effects: "none" },
  out_of_range: { status: 416, retry: "never", effects: "none" },
  contention: { status: 409, retry: "same", effects: "none" },
  not_ready: { status: 503, retry: "after", effects: "none" },
  unavailable: { status: 503, retry: "after", effects: "none" },
  outcome_unknown: { status: 503, retry: "same", effects: "unknown" },
  corrupt: { status: 500, retry: "never", effects: "none" },
  internal: { status: 500, retry: "same", effects: "unknown" },
} as const satisfies Record<
  string,
  { status: number; retry: "never" | "same" | "after"; effects: "none" | "unknown" }
>;

export type ErrorCode = keyof typeof errorTable;

export type ErrorDetails = Readonly<Record<string, unknown>>;

const brand = Symbol.for("tasso.BrokerError");

/** An error that the caller is told of. `code` and `details` are part of the contract, `message` is for people. */
export class BrokerError extends Error {
  override readonly name = "BrokerError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails;
  readonly [brand] = true;

  constructor(
    code: ErrorCode,
    message: string,
    details: ErrorDetails = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.details = details;
  }

  get status(): number {
    return errorTable[this.code].status;
  }

  /** Whether the failed request may have changed something all the same. */
  get effects(): "none" | "unknown" {
    return errorTable[this.code].effects;
  }
}

/** By brand, not by class, so that an error from another copy of the package is still known. */
export function isBrokerError(error: unknown): error is BrokerError {
  return error instanceof Error && brand in error;
}

/** A rule that a field breaks: which field, what was given, what is allowed. */
export function invalid(field: string, given: unknown, allowed: string): BrokerError {
  return new BrokerError("invalid", `${field} must be ${allowed}`, {
    field,
    given: shown(given),
    allowed,
  });
}

/** What is told back of a wrong value: enough to find it, never a whole body. */
function shown(given: unknown): unknown {
  if (typeof given === "string") return given.length > 100 ? `${given.slice(0, 100)}...` : given;
  if (typeof given === "bigint") return String(given);
  if (typeof given === "object" && given !== null)
    return Array.isArray(given) ? "an array" : "an object";
  return given;
}
