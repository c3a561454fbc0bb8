import type { CallOptions, Connection } from "./connection.ts";
import type { DeliveredMessage } from "./received-message.ts";
import { TassoError, toldError } from "./tasso-error.ts";

/** What is done with messages in hand, and what goes along. */
export interface Verb {
  readonly path: "ack" | "nack" | "extend";
  readonly body?: object;
}

interface Told {
  readonly results: readonly {
    readonly error?: { code: string; message: string; details?: Record<string, unknown> };
  }[];
}

const handlesMax = 1_024;

/** Settles messages, each at the broker that gave it. An error for each that failed, in their order. Never rejects. */
export async function settleEach(
  connection: Connection,
  group: string,
  messages: readonly DeliveredMessage[],
  { path, body = {} }: Verb,
  options: CallOptions = {},
): Promise<(TassoError | undefined)[]> {
  const errors: (TassoError | undefined)[] = new Array(messages.length).fill(undefined);
  const parts = portionsOf(messages).map(async (indices) => {
    const at = (index: number) => messages[index] as DeliveredMessage;
    const receiptHandles = indices.map((index) => at(index).receiptHandle);
    try {
      const broker = connection.routes.brokerOf(at(indices[0] as number));
      const { results } = await connection.traced(path, { group, messages: indices.length }, () =>
        connection.request<Told>(broker, {
          method: "POST",
          path: `/v1/groups/${encodeURIComponent(group)}/${path}`,
          json: { receiptHandles, ...body },
          ...options,
        }),
      );
      indices.forEach((index, place) => {
        const error = results[place]?.error;
        errors[index] = error && toldError(error.code, error.message, error.details);
      });
    } catch (error) {
      const told = connection.asTassoError(error);
      const each = told.details["results"] as Told["results"] | undefined;
      indices.forEach((index, place) => {
        const own = each?.[place]?.error;
        errors[index] = own ? toldError(own.code, own.message, own.details) : told;
      });
    }
  });
  await Promise.all(parts);
  return errors;
}

/** The first error of several, with all of them in its `details.results`. */
export function throwFirst(errors: readonly (TassoError | undefined)[]): void {
  const first = errors.find((error) => error !== undefined);
  if (first === undefined) return;
  if (errors.length === 1) throw first;
  const { code, message, requestId, cause } = first;
  const outcomeUnknown = errors.some((error) => error?.outcomeUnknown);
  const details = { ...first.details, results: errors };
  throw new TassoError(code, message, { details, requestId, outcomeUnknown, cause });
}

/** Indices of those that go into one request: of one broker, and not too many. */
function portionsOf(messages: readonly DeliveredMessage[]): number[][] {
  const byBroker = new Map<string, number[][]>();
  messages.forEach(({ broker }, index) => {
    const portions = byBroker.get(broker) ?? [];
    const last = portions.at(-1);
    if (last !== undefined && last.length < handlesMax) last.push(index);
    else portions.push([index]);
    byBroker.set(broker, portions);
  });
  return [...byBroker.values()].flat();
}
