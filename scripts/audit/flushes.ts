import type { SystemCall } from "./system-calls.ts";

/** What a trace shows of one request. */
export interface Flushed {
  readonly requestId: string;
  /** What is missing between the request and its reply, `undefined` where nothing is. */
  readonly missing: string | undefined;
}

const reads = ["read", "readv", "recvfrom", "recvmsg"];
const writes = ["write", "writev", "sendto", "sendmsg", "pwrite64", "pwritev", "pwritev2"];
const flushes = ["fsync", "fdatasync", "msync"];

/** The calls that matter, sorted by what they are for. */
interface Story {
  readonly received: ReadonlyMap<string, SystemCall>;
  readonly replied: ReadonlyMap<string, SystemCall>;
  /** The first write of each body to the store's file. */
  readonly stored: ReadonlyMap<string, SystemCall>;
  readonly socketReads: readonly SystemCall[];
  readonly flushed: readonly SystemCall[];
  /** Writes through descriptors that were opened so that each write is durable when it returns. */
  readonly durable: readonly SystemCall[];
}

/**
 * Whether each reply came after the store's file had been flushed: LMDB writes the pages, flushes them, and then writes
 * the page that makes them count through a descriptor that is opened with O_DSYNC. A request must have been read whole,
 * its body written, the file flushed, that page written, and only then the reply, each begun after the one before ended.
 */
export function flushedBeforeReply(
  calls: readonly SystemCall[],
  file: string,
  requestIds: readonly string[],
): Flushed[] {
  const story = tell(calls, file);
  return requestIds.map((requestId) => ({ requestId, missing: missingOf(story, requestId) }));
}

function missingOf(story: Story, requestId: string): string | undefined {
  const received = story.received.get(requestId);
  const replied = story.replied.get(requestId);
  if (received === undefined) return "its bytes were never read";
  if (replied === undefined) return "it was never answered with 200";
  const readWhole = story.socketReads.findLast(
    ({ on, end }) => on === received.on && end < replied.begin,
  );
  const stored = story.stored.get(requestId);
  if (readWhole === undefined) return "it was answered on another connection";
  if (stored === undefined || stored.end >= replied.begin) return "no write before the reply";
  const from = Math.max(readWhole.end, stored.end);
  const flush = between(story.flushed, from, replied.begin);
  if (flush === undefined) return "no flush before the reply";
  if (between(story.durable, flush.end, replied.begin) === undefined)
    return "no commit page before the reply";
  return undefined;
}

function between(calls: readonly SystemCall[], from: number, to: number): SystemCall | undefined {
  return calls.find(({ begin, end }) => begin > from && end < to);
}

function tell(calls: readonly SystemCall[], file: string): Story {
  const received = new Map<string, SystemCall>();
  const replied = new Map<string, SystemCall>();
  const stored = new Map<string, SystemCall>();
  const opened = durableDescriptors(calls, file);
  const onFile = calls.filter(({ on }) => on.endsWith(`<${file}>`));
  const onSockets = calls.filter(({ on, result }) => on.includes("<socket:") && result > 0);
  const socketReads = onSockets.filter(({ name }) => reads.includes(name));
  for (const call of socketReads) note(received, call, /x-request-id: (d-\d+)\\r/g);
  for (const call of onSockets)
    if (writes.includes(call.name) && call.text.includes("HTTP/1.1 200"))
      note(replied, call, /x-request-id: (d-\d+)\\r/g);
  for (const call of onFile) if (writes.includes(call.name)) note(stored, call, /~(d-\d+)~/g);
  return {
    received,
    replied,
    stored,
    socketReads,
    flushed: onFile.filter(({ name, result }) => flushes.includes(name) && result === 0),
    durable: onFile.filter(({ name, on }) => writes.includes(name) && opened.has(on)),
  };
}

function durableDescriptors(calls: readonly SystemCall[], file: string): Set<string> {
  const opened = calls.filter(
    ({ name, text }) => name === "openat" && text.includes(`"${file}"`) && /O_D?SYNC/.test(text),
  );
  return new Set(opened.map(({ result }) => `${result}<${file}>`));
}

/** Notes the first call in which each id stands. */
function note(ids: Map<string, SystemCall>, call: SystemCall, pattern: RegExp): void {
  for (const [, id] of call.text.matchAll(pattern))
    if (id !== undefined && !ids.has(id)) ids.set(id, call);
}
