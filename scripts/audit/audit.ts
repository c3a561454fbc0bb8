import { askJson, expectJson } from "./http.ts";
import type { Ledger, Sending, Sent, SentMessage } from "./ledger.ts";

interface Pulled {
  readonly offset: number;
  readonly messageId: string;
  readonly body: string;
  readonly bodyEncoding: "utf8" | "base64";
  readonly messageGroup?: string;
}

interface Page {
  readonly messages: readonly Pulled[];
  readonly nextOffset: number;
  readonly minOffset: number;
  readonly maxOffset: number;
}

interface Found {
  readonly sending: Sending;
  /** Its place among the messages of the request. */
  readonly index: number;
  readonly offset: number;
}

export interface Audit {
  readonly messages: number;
  readonly violations: readonly string[];
  /** Messages without an answer, and how many of them are there. */
  readonly open: number;
  readonly openFound: number;
  /** Pulls whose `nextOffset` was their `maxOffset` although the log, at rest, went on. */
  readonly earlyEnds: number;
}

export interface Audited {
  readonly url: string;
  readonly topic: string;
  readonly queues: number;
  /** What is older may have been trimmed. Without it everything has to be there. */
  readonly retentionMs?: number;
}

/** Compares what was sent with what can be read, through the API alone. */
export async function audit(audited: Audited, ledger: Ledger): Promise<Audit> {
  const wrong: string[] = [];
  const seen = new Set<string>();
  const earlyEnds = { count: 0 };
  const ranges: Range[] = [];
  for (let queue = 0; queue < audited.queues; queue++)
    ranges.push(await auditQueue(audited, queue, { ledger, wrong, seen, earlyEnds }));
  await auditRanges(audited, ranges, wrong);
  let open = 0;
  let openFound = 0;
  for (const [mark, sent] of ledger.byMark) {
    const { message } = sent;
    if (message.state === "acknowledged" && !seen.has(mark) && !mayBeTrimmed(sent, ranges, audited))
      wrong.push(`${mark}: acknowledged at ${message.queue}@${message.offset} and not there`);
    if (message.state !== "open") continue;
    open++;
    if (seen.has(mark)) openFound++;
  }
  return { messages: seen.size, violations: wrong, open, openFound, earlyEnds: earlyEnds.count };
}

/** Whether a message lay below where its queue begins now, and its retention is over. */
function mayBeTrimmed(
  { message, sending }: Sent,
  ranges: readonly Range[],
  { retentionMs = Number.POSITIVE_INFINITY }: Audited,
): boolean {
  const isBelow = message.offset < (ranges[message.queue]?.min ?? 0);
  return isBelow && performance.now() - sending.issuedAt >= retentionMs;
}

interface Findings {
  readonly ledger: Ledger;
  readonly wrong: string[];
  readonly seen: Set<string>;
  readonly earlyEnds: { count: number };
}

async function auditQueue(audited: Audited, queue: number, findings: Findings): Promise<Range> {
  const { ledger, wrong, seen } = findings;
  const found: Found[] = [];
  const range = { queue, min: 0, max: 0 };
  for await (const pulled of readQueue(audited, range, findings)) {
    const body = Buffer.from(pulled.body, pulled.bodyEncoding);
    const mark = body.subarray(0, body.indexOf("|")).toString();
    const sent = ledger.byMark.get(mark);
    if (seen.has(mark)) wrong.push(`${mark}: a second time, at ${queue}@${pulled.offset}`);
    seen.add(mark);
    if (sent === undefined) wrong.push(`${queue}@${pulled.offset}: nobody sent this`);
    else {
      found.push({ ...sent, offset: pulled.offset });
      wrong.push(...differences(sent.message, { ...pulled, queue }, body));
    }
  }
  wrong.push(...orderBroken(found, queue));
  return range;
}

/**
 * All messages of a queue, whose offsets have to be dense from where it begins to an end behind which a pull is empty.
 * It begins at 0, or further up where something was trimmed, also while it is being read. `range` becomes what was read.
 */
async function* readQueue(
  { url, topic, retentionMs }: Audited,
  range: Range,
  { wrong, ...findings }: Findings,
) {
  const { queue } = range;
  const path = `/v1/topics/${topic}/queues/${queue}/messages`;
  let toldEnd = 0;
  for (let offset = 0; ; ) {
    const query = `?offset=${offset}&max=1024&maxBytes=4194304`;
    const { status, json } = await askJson<Page & OutOfRange>(url, "GET", path + query);
    if (retentionMs !== undefined && status === 416 && json.details.min > offset) {
      range.min = json.details.min;
      offset = range.min;
      continue;
    }
    if (status !== 200) {
      wrong.push(`queue ${queue} at ${offset}: ${status} ${JSON.stringify(json)}`);
      return;
    }
    const page: Page = json;
    range.min = Math.max(range.min, page.minOffset);
    if (page.minOffset !== 0 && retentionMs === undefined)
      wrong.push(`queue ${queue} begins at ${page.minOffset}`);
    if (page.messages.length > 0 && offset === toldEnd && offset > 0) findings.earlyEnds.count++;
    for (const message of page.messages) {
      if (message.offset !== offset)
        wrong.push(`queue ${queue}: ${message.offset} follows ${offset - 1}`);
      offset = message.offset + 1;
      yield message;
    }
    range.max = offset;
    toldEnd = page.maxOffset;
    if (page.nextOffset !== offset)
      wrong.push(`queue ${queue}: nextOffset is ${page.nextOffset} behind ${offset - 1}`);
    if (page.messages.length > 0) continue;
    if (offset !== toldEnd) wrong.push(`queue ${queue}: nothing at ${offset} of ${toldEnd}`);
    return;
  }
}

function differences(
  sent: SentMessage,
  pulled: Omit<Pulled, "body"> & { readonly queue: number },
  body: Buffer,
): string[] {
  const { mark, state } = sent;
  const at = `${pulled.queue}@${pulled.offset}`;
  const wrong: string[] = [];
  if (!body.equals(sent.body)) wrong.push(`${mark}: has another body at ${at}`);
  if (pulled.messageGroup !== sent.messageGroup) wrong.push(`${mark}: has another message group`);
  if (state === "refused") wrong.push(`${mark}: refused with nothing done, and is at ${at}`);
  if (state !== "acknowledged") return wrong;
  if (`${sent.queue}@${sent.offset}` !== at)
    wrong.push(`${mark}: acknowledged at ${sent.queue}@${sent.offset} and is at ${at}`);
  if (sent.messageId !== undefined && sent.messageId !== pulled.messageId)
    wrong.push(`${mark}: acknowledged as ${sent.messageId} and is ${pulled.messageId}`);
  return wrong;
}

/** What was sent after something had been acknowledged lies behind it: in a queue, and so in a message group. */
function orderBroken(found: readonly Found[], queue: number): string[] {
  const wrong: string[] = [];
  let answeredAt = Number.POSITIVE_INFINITY;
  for (const { sending, offset } of found.toReversed()) {
    if (answeredAt < sending.issuedAt)
      wrong.push(`${queue}@${offset}: lies before what was acknowledged before it was sent`);
    answeredAt = Math.min(answeredAt, sending.answeredAt);
  }
  const last = new Map<Sending, number>();
  for (const { sending, index, offset } of found) {
    if (index <= (last.get(sending) ?? -1))
      wrong.push(`${queue}@${offset}: the messages of a request are out of order`);
    last.set(sending, index);
  }
  return wrong;
}

/** The topic as a whole tells the same ends; it may begin further up by now. */
async function auditRanges(
  { url, topic, retentionMs }: Audited,
  ranges: readonly Range[],
  wrong: string[],
) {
  const path = `/v1/topics/${topic}`;
  const { queues } = await expectJson<{ readonly queues: readonly Range[] }>(url, "GET", path);
  for (const { queue, min, max } of ranges) {
    const told = queues.find((each) => each.queue === queue);
    const begins = told?.min === min || (retentionMs !== undefined && (told?.min ?? -1) > min);
    if (!begins || told?.max !== max)
      wrong.push(`the topic tells ${JSON.stringify(told)} and queue ${queue} is ${min} to ${max}`);
  }
}

interface OutOfRange {
  readonly details: { readonly min: number };
}

interface Range {
  readonly queue: number;
  min: number;
  max: number;
}
