import { type PlacedMessage, readQueue } from "../queue-reader.ts";
import { instantIn, type NamedBroker, type Session, wholeNumber } from "../session.ts";
import type { Progress } from "../terminal.ts";

export interface TailOptions {
  readonly from?: string;
  readonly untilEnd?: boolean;
  readonly queue?: readonly string[];
  readonly max?: string;
  readonly tag?: string;
  readonly body?: boolean;
}

interface QueueToRead {
  readonly broker: NamedBroker;
  readonly queue: number;
  readonly offset: number;
  /** The end as it is now. */
  readonly max: number;
}

/** Shows what a topic holds and what comes: every queue in its order, all at once. Touches no group's offsets. */
export async function tail(session: Session, topic: string, options: TailOptions): Promise<void> {
  const { terminal, token } = session;
  const end = new AbortController();
  const onSignal = () => end.abort();
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  const queues = await queuesOf(session, topic, options);
  const total = queues.reduce((sum, { offset, max }) => sum + Math.max(0, max - offset), 0);
  const progress: Progress = options.untilEnd
    ? terminal.progress("messages", total)
    : { add: () => undefined, end: () => undefined };
  let left = options.max === undefined ? Number.POSITIVE_INFINITY : wholeNumber(options.max);
  const several = new Set(queues.map(({ broker }) => broker.name)).size > 1;
  const reads = queues.map(async ({ broker, queue, offset, max }) => {
    const pages = readQueue({
      endpoint: broker.endpoint,
      topic,
      queue,
      offset,
      ...(options.untilEnd ? { until: max } : {}),
      token,
      signal: end.signal,
      timeoutMs: session.connection.settings.timeoutMs,
    });
    const place = several ? { broker: broker.name, queue } : { queue };
    for await (const page of pages) {
      progress.add(page.length);
      const wanted = page.filter(({ tag }) => options.tag === undefined || tag === options.tag);
      const told = wanted.slice(0, left);
      left -= told.length;
      const text = told.map((message) => lineOf(message, place, session, options)).join("");
      if (text !== "") await terminal.text(text);
      if (left > 0) continue;
      end.abort();
      return;
    }
  });
  try {
    await Promise.all(reads);
  } finally {
    end.abort();
    progress.end();
  }
}

async function queuesOf(
  session: Session,
  topic: string,
  { from = "latest", queue: wanted }: TailOptions,
): Promise<QueueToRead[]> {
  const numbers = wanted?.map(wholeNumber);
  const lists = await session.each(async (broker) => {
    const { queues } = await broker.admin.topic(topic);
    const chosen = queues.filter(({ queue }) => numbers?.includes(queue) ?? true);
    const read = chosen.map(async ({ queue, min, max }) => {
      if (from === "earliest") return { broker, queue, max, offset: min };
      if (from === "latest") return { broker, queue, max, offset: max };
      const path = `/v1/topics/${topic}/queues/${queue}/offset?at=${instantIn(from)}`;
      const { offset } = await broker.admin.request<{ offset: number }>("GET", path);
      return { broker, queue, max, offset };
    });
    return { queues: await Promise.all(read) };
  });
  return lists.flatMap(({ queues }) => queues);
}

function lineOf(
  message: PlacedMessage,
  place: object,
  { terminal }: Session,
  options: TailOptions,
): string {
  const text = Buffer.from(message.body).toString("utf8");
  if (options.body) return `${text}\n`;
  const { offset, storedAt, id: messageId, tag, keys, properties, messageGroup } = message;
  const facts = { offset, messageId, storedAt, tag, keys, properties, messageGroup };
  if (terminal.json) return `${JSON.stringify({ ...place, ...facts, body: text })}\n`;
  const where = Object.values(place).join("/");
  return `${new Date(storedAt).toISOString()}  ${where}:${offset}  ${tag ?? "-"}  ${text}\n`;
}
