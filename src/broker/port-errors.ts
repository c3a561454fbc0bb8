import { BrokerError } from "./errors.ts";
import { Damaged, Unavailable } from "./ports/failures.ts";

/** What the failure of a port means to a caller; anything else is handed back as it is. */
export function toBrokerError(error: unknown): unknown {
  if (error instanceof Unavailable) {
    return new BrokerError(
      "unavailable",
      "the store cannot be reached or takes no writes; nothing was done",
      {},
      { cause: error },
    );
  }
  if (error instanceof Damaged) {
    return new BrokerError("corrupt", error.message, { what: error.what }, { cause: error });
  }
  return error;
}
