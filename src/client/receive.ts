import { hex } from "../broker/bytes.ts";
import type { Connection } from "./connection.ts";
import { DeliveredMessage, type ToldMessage } from "./received-message.ts";
import type { Broker, Route } from "./routes.ts";

export interface ReceiveOptions {
  /** At most so many. @default 32 */
  readonly max?: number;
  /** Bodies together (bytes). @default 1048576 */
  readonly maxBytes?: number;
  /** So long nobody else of the group is given them (ms). @default 30000 */
  readonly invisibleMs?: number;
  /** So long it waits for the first one (ms), up to 20000. @default 0 */
  readonly waitMs?: number;
  /** The filter that the group has, or begins with, for this topic. */
  readonly filter?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Received {
  readonly messages: DeliveredMessage[];
  /** When it is worth asking again, where the broker says so (ms). */
  readonly nextPollAfterMs?: number;
}

/** Receives from one broker. Every attempt has the same id, so that what a lost answer held comes with the next one. */
export async function receiveFrom(
  connection: Connection,
  broker: Broker,
  {
    group,
    topic,
    signal,
    waitMs = 0,
    ...wanted
  }: ReceiveOptions & {
    readonly group: string;
    readonly topic: string;
  },
): Promise<Received> {
  const attemptId = hex(connection.settings.random.bytes(16));
  const json = { topic, waitMs, attemptId, ...wanted };
  const told = await connection.traced("receive", { group, topic }, () =>
    connection.request<{ messages: ToldMessage[]; nextPollAfterMs?: number }>(broker, {
      method: "POST",
      path: `/v1/groups/${encodeURIComponent(group)}/receive`,
      json,
      waitMs,
      signal,
    }),
  );
  const messages = told.messages.map((message) => new DeliveredMessage(message, broker.name));
  const { nextPollAfterMs } = told;
  return { messages, ...(nextPollAfterMs === undefined ? {} : { nextPollAfterMs }) };
}

/** The brokers where a topic can be read. */
export function readableBrokers({ queues, brokers }: Route): Broker[] {
  const names = new Set(queues.filter(({ readable }) => readable).map(({ broker }) => broker));
  return [...names].flatMap((name) => brokers.get(name) ?? []);
}

/** With several brokers each is asked in turn, for at most so long at a time (ms). */
const turnMs = 1_000;

/** Turns over brokers until one has something, or the time is over. `ask` gets how long it may wait. */
export async function inTurns<T>(
  connection: Connection,
  brokers: readonly Broker[],
  { start, waitMs }: { readonly start: number; readonly waitMs: number },
  ask: (broker: Broker, waitMs: number) => Promise<T>,
  isEmpty: (answer: T) => boolean,
): Promise<T | undefined> {
  const { clock } = connection.settings;
  const until = clock.now() + waitMs;
  let answer: T | undefined;
  let failed: unknown;
  for (let turn = 0; ; turn++) {
    const broker = brokers[(start + turn) % brokers.length];
    if (broker === undefined) return undefined;
    const left = Math.max(0, until - clock.now());
    const alone = brokers.length === 1;
    const first = turn < brokers.length;
    try {
      answer = await ask(broker, alone ? left : first ? 0 : Math.min(turnMs, left));
      failed = undefined;
      if (!isEmpty(answer)) return answer;
    } catch (error) {
      if (alone) throw error;
      failed = error;
    }
    if (turn + 1 >= brokers.length && clock.now() >= until) break;
  }
  if (answer === undefined && failed !== undefined) throw failed;
  return answer;
}
