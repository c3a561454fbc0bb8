import { isBrokerError } from "../../src/broker/errors.ts";

/** The code and details with which a promise is refused. Fails where it is not. */
export async function refusalOf(promise: Promise<unknown>): Promise<Record<string, unknown>> {
  try {
    await promise;
  } catch (error) {
    if (isBrokerError(error)) return { code: error.code, ...error.details };
    throw error;
  }
  throw new Error("it was not refused");
}
