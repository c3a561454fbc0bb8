import type { StoredMessage } from "../log/stored-messages.ts";
import type { Ports } from "../ports/ports.ts";
import type { QueueId } from "../schema.ts";
import type { Topic } from "../topics/topic.ts";
import { parseFilter } from "./filter.ts";
import type { GroupOffsets } from "./group-offsets.ts";
import type { Subscription } from "./groups.ts";
import type { Members, Membership } from "./members.ts";
import { committedOf } from "./queue-state.ts";
import { readMessages } from "./read-messages.ts";
import type { ConsumingParts } from "./receive.ts";

export interface PollParts extends ConsumingParts {
  readonly members: Members;
  readonly groupOffsets: GroupOffsets;
}

export interface PollRequest {
  readonly group: string;
  readonly clientId: string;
  /** That the client knows of: its commits are refused where queues went to others since. */
  readonly generation?: number | undefined;
  readonly topics: readonly string[];
  /** By topic and queue: the next message to be consumed. */
  readonly commit: ReadonlyMap<string, ReadonlyMap<number, number>>;
  readonly max: number;
  readonly bytesMax: number;
  readonly waitMs: number;
  readonly filter?: string | undefined;
}

export interface Polled {
  readonly topic: string;
  readonly queue: number;
  readonly stored: StoredMessage;
}

export interface PollAnswer extends Membership {
  readonly messages: readonly Polled[];
  /** What to commit once these messages are consumed: behind the last one that was looked at. */
  readonly next: ReadonlyMap<string, ReadonlyMap<number, number>>;
}

/** A queue that the client consumes, and how far this poll has come in it. */
interface Position {
  readonly topic: Topic;
  readonly queue: QueueId;
  readonly filter: string;
  next: number;
  endsRow: boolean;
}

/** So many messages are passed over in one go. */
const lookedAtMax = 2_048;

/**
 * A turn of a member: commits what it consumed, keeps it in the group, and pulls from all queues that are its own, from
 * where they are committed on. Throws `generation_stale` where what it commits belongs to others meanwhile.
 */
export async function poll(io: Ports, parts: PollParts, request: PollRequest): Promise<PollAnswer> {
  const { members, groupOffsets, topics, log } = parts;
  const { group, clientId, generation } = request;
  const until = io.clock.now() + request.waitMs;
  for (const [name, offsets] of request.commit) {
    const topic = await topics.get(io, name);
    await groupOffsets.commit(io, { group, topic, offsets, clientId, generation });
  }
  let membership = await members.stay(io, request);
  let positions = await positionsOf(io, parts, request, membership);
  for (;;) {
    const watch = log.arrivals.watch(positions.map(({ queue }) => queue));
    try {
      const messages = await pullSome(io, parts, positions, request);
      const left = until - io.clock.now();
      if (messages.length > 0 || left <= 0 || log.arrivals.closed)
        return { ...membership, messages, next: nextOf(positions) };
      await watch.wait(io.clock, Math.min(left, log.settings.pollMs));
    } finally {
      watch.end();
    }
    const now = await members.stay(io, request);
    if (now.generation !== membership.generation) {
      membership = now;
      positions = await positionsOf(io, parts, request, membership);
    }
  }
}

/** Where the client goes on in each of its queues. None while the group is paused. */
async function positionsOf(
  io: Ports,
  { groups, topics, states }: PollParts,
  { group, clientId, filter }: PollRequest,
  { assignments }: Membership,
): Promise<Position[]> {
  const positions: Position[] = [];
  for (const [name, queues] of Object.entries(assignments)) {
    const topic = await topics.get(io, name);
    const of: Subscription = await groups.subscribe(io, { group, topic, clientId, filter });
    if (of.group.paused || queues.length === 0) continue;
    const found = await states.scan(io, of.consumer);
    for (const number of queues) {
      const state = found.get(number);
      const next = state === undefined ? 0 : committedOf(state);
      const endsRow = state?.nextEndsRow === true && next === state.next;
      const queue = { topicId: topic.id, queue: number };
      positions.push({ topic, queue, filter: of.group.filters[name] ?? "*", next, endsRow });
    }
  }
  // Not always the same one first.
  const [start = 0] = io.random.bytes(1);
  const first = positions.length === 0 ? 0 : start % positions.length;
  return [...positions.slice(first), ...positions.slice(0, first)];
}

async function pullSome(
  io: Ports,
  { log }: PollParts,
  positions: readonly Position[],
  { max, bytesMax }: PollRequest,
): Promise<Polled[]> {
  const held = await log.mayHold(
    io,
    positions.map(({ queue, next: offset, endsRow }) => ({ queue, offset, endsRow })),
  );
  const messages: Polled[] = [];
  let bytes = 0;
  for (const position of positions.filter((_, index) => held[index])) {
    const filter = parseFilter(position.filter, "filter");
    for (let lookedAt = 0; lookedAt < lookedAtMax; ) {
      if (messages.length >= max || bytes >= bytesMax) return messages;
      const { queue, topic } = position;
      const limits = { messagesMax: max - messages.length, bytesMax: bytesMax - bytes };
      const read = await readMessages(io, log, queue, { offset: position.next, ...limits });
      position.next = read.from;
      if (read.messages.length === 0) break;
      for (const stored of read.messages) {
        if (messages.length >= max) return messages;
        const length = stored.message.body.length;
        if (filter.wants(stored.message)) {
          if (messages.length > 0 && bytes + length > bytesMax) return messages;
          messages.push({ topic: topic.name, queue: queue.queue, stored });
          bytes += length;
        }
        position.next = stored.offset + 1;
        position.endsRow = position.next === read.end;
        lookedAt++;
      }
      if (position.next >= read.max) break;
    }
  }
  return messages;
}

function nextOf(positions: readonly Position[]): Map<string, Map<number, number>> {
  const next = new Map<string, Map<number, number>>();
  for (const { topic, queue, next: offset } of positions) {
    const own = next.get(topic.name) ?? new Map<number, number>();
    next.set(topic.name, own.set(queue.queue, offset));
  }
  return next;
}
