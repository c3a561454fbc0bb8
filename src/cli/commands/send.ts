import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { type Message, Producer, type Receipt, type TassoError } from "../../client/index.ts";
import { UsageError } from "../exit-codes.ts";
import { instantIn, type Session, wholeNumber } from "../session.ts";
import type { Progress } from "../terminal.ts";

export interface SendOptions {
  readonly file?: string;
  readonly repeat?: string;
  readonly queue?: string;
  readonly group?: string;
  readonly tag?: string;
  readonly key?: readonly string[];
  readonly property?: readonly string[];
  readonly delayMs?: string;
  readonly deliverAt?: string;
}

/**
 * So many messages in a row go to one queue before the next one is taken: enough to fill a batch, few enough that all queues
 * are at work at once. Those of a queue are stored in the order of the lines.
 */
const runLength = 1_000;

/** Sends one message, the same one many times, or each line of a file or of standard input. */
export async function send(
  session: Session,
  topic: string,
  body: string | undefined,
  options: SendOptions,
): Promise<void> {
  if (body !== undefined && options.file !== undefined)
    throw new UsageError("either a body or --file");
  const common = commonOf(topic, options);
  await using producer = new Producer(session.client);
  if (body !== undefined && options.repeat === undefined)
    return await session.terminal.thing(await producer.send({ ...common, body }));
  const repeat = options.repeat === undefined ? 1 : wholeNumber(options.repeat);
  if (body !== undefined) {
    const progress = session.terminal.progress("messages", repeat);
    return await sendAll(session, producer, common, times(body, repeat), progress);
  }
  if (options.repeat !== undefined) throw new UsageError("--repeat needs a body");
  const { file = "-" } = options;
  const size = file === "-" ? 0 : await sizeOf(file);
  const progress = session.terminal.progress("bytes", size);
  const input = file === "-" ? process.stdin : createReadStream(file);
  await sendAll(session, producer, common, linesOf(input, progress), progress);
}

async function sendAll(
  session: Session,
  producer: Producer,
  common: Omit<Message, "body">,
  bodies: AsyncIterable<string> | Iterable<string>,
  progress: Progress,
): Promise<void> {
  const places = await placesOf(session, common);
  const counts = { sent: 0, empty: 0 };
  let failure: TassoError | undefined;
  let failed = 0;
  const told = (error: TassoError | undefined, _: Receipt | undefined) => {
    if (error === undefined) counts.sent++;
    else {
      failed++;
      // What may have been stored matters more than what surely was not.
      if (failure === undefined || (error.outcomeUnknown && !failure.outcomeUnknown))
        failure = error;
    }
  };
  let taken = 0;
  for await (const body of bodies) {
    if (failure !== undefined) break;
    if (body === "") {
      counts.empty++;
      continue;
    }
    const place = places[Math.floor(taken++ / runLength) % places.length];
    if (!producer.sendAsync({ ...common, ...place, body }, told)) await producer.ready();
  }
  await producer.flush();
  progress.end();
  if (counts.empty > 0)
    session.terminal.note(`${counts.empty} empty lines were left out: a message has a body`);
  if (failure !== undefined) {
    session.terminal.note(`${counts.sent} were sent, ${failed} failed, the rest was not tried`);
    throw failure;
  }
  await session.terminal.thing(counts);
}

/** Where messages go that say nothing of it: every queue in its turn. */
async function placesOf(
  { connection }: Session,
  { topic, messageGroup, queue, delayMs, deliverAt }: Omit<Message, "body">,
): Promise<readonly Partial<Message>[]> {
  const free = [messageGroup, queue, delayMs, deliverAt].every((field) => field === undefined);
  if (!free) return [{}];
  const { queues } = await connection.route(topic);
  const places = queues.filter(({ writable }) => writable);
  return places.length === 0
    ? [{}]
    : places.map(({ broker, queue: at }) => ({ broker, queue: at }));
}

function commonOf(topic: string, options: SendOptions): Omit<Message, "body"> {
  const { queue, group, tag, key, property = [], delayMs, deliverAt } = options;
  const properties = Object.fromEntries(property.map(pairIn));
  return {
    topic,
    ...(queue === undefined ? {} : { queue: wholeNumber(queue) }),
    ...(group === undefined ? {} : { messageGroup: group }),
    ...(tag === undefined ? {} : { tag }),
    ...(key === undefined ? {} : { keys: key }),
    ...(property.length === 0 ? {} : { properties }),
    ...(delayMs === undefined ? {} : { delayMs: wholeNumber(delayMs) }),
    ...(deliverAt === undefined ? {} : { deliverAt: instantIn(deliverAt) }),
  };
}

function pairIn(text: string): [string, string] {
  const mark = text.indexOf("=");
  if (mark < 1) throw new UsageError(`--property must be name=value, not "${text}"`);
  return [text.slice(0, mark), text.slice(mark + 1)];
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (cause) {
    throw new UsageError(`--file ${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

async function* linesOf(input: Readable, progress: Progress): AsyncGenerator<string> {
  input.on("data", (chunk: Buffer | string) => progress.add(Buffer.byteLength(chunk)));
  yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
}

function* times(body: string, count: number): Generator<string> {
  for (let at = 0; at < count; at++) yield body;
}
