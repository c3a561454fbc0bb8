import { assert } from "../assert.ts";
import { fromHex, hex, readU32, writeU32 } from "../bytes.ts";
import { crc32c } from "../crc32c.ts";
import { limits } from "../limits.ts";
import { ByteReader } from "../log/byte-reader.ts";
import { ByteWriter } from "../log/byte-writer.ts";
import { Damaged } from "../ports/failures.ts";

/** A message that was looked at and is not settled. */
export interface OpenMessage {
  readonly offset: number;
  /** Of its message group, two bytes of a hash; 0 where the consumer group is not orderly, or the message has none. */
  readonly hash: number;
}

/** Messages that one receiver was given by one request, or gave back. */
export interface Delivery {
  /** Of the request: handles carry it, and it is theirs alone in this state. */
  readonly stamp: number;
  /** Which time it is that these messages were given out, from 1. */
  readonly attempt: number;
  /** In hand: invisible to others until then. Given back: waiting until then (ms). */
  until: number;
  /** Whether somebody may still be working on it. */
  readonly held: boolean;
  /** By which a request that is repeated finds what it was given: 16 hexadecimal digits. */
  readonly attemptKey: string | undefined;
  /** In the order of their offsets; never empty. */
  messages: OpenMessage[];
}

/** What became of a message whose handles may still be about. */
export interface Settlement {
  readonly offset: number;
  /** Of the delivery that it ended with. */
  readonly stamp: number;
  /** It will come again, or is a dead letter: it was not acknowledged. */
  readonly left: boolean;
}

/**
 * How far a group is in one queue: one row, changed by compare and set. Everything below `next` that is in no delivery and
 * not held back is settled.
 */
export interface QueueState {
  /** The offset behind the last message that was looked at. */
  next: number;
  /** A row of the log ends at `next`, so an empty place there proves the end. */
  nextEndsRow: boolean;
  /** Of the member that this queue belongs to: commits of older generations are refused (rule 20 of the log). */
  generation: number;
  /** Which member that is: a hash of its client id; 0: none. */
  owner: number;
  /** Of the newest delivery. */
  lastStamp: number;
  /** A reset made all handles up to this stamp void (rule 19 of the log). */
  voidUpTo: number;
  /** Of handles up to this stamp nobody knows any more whether somebody else was given the message. */
  forgottenUpTo: number;
  deliveries: Delivery[];
  /** Looked at and not given out yet, as an earlier message of the same message group is not settled; in order. */
  heldBack: OpenMessage[];
  settlements: Settlement[];
}

/** Enough for what clients repeat within seconds. */
export const settlementsKept = 64;

export function newState(next: number): QueueState {
  return {
    next,
    nextEndsRow: false,
    generation: 0,
    owner: 0,
    lastStamp: 0,
    voidUpTo: 0,
    forgottenUpTo: 0,
    deliveries: [],
    heldBack: [],
    settlements: [],
  };
}

/** The offset below which everything is settled: what a group has committed. */
export function committedOf(state: QueueState): number {
  let lowest = state.heldBack[0]?.offset ?? state.next;
  for (const { messages } of state.deliveries)
    lowest = Math.min(lowest, messages[0]?.offset ?? lowest);
  return lowest;
}

export function inFlightOf({ deliveries }: QueueState): number {
  return deliveries.reduce((sum, { messages }) => sum + messages.length, 0);
}

const formatVersion = 1;
const headBytes = 5;
const has = { held: 1, attemptKey: 2, hashes: 4 } as const;
const endsRow = 1;

/**
 * The state in its stored form, below `queueStateBytesMax`. Notes on what was settled go where there is no room, oldest
 * first. What is written of a delivery never grows when some of it is settled, or as others come and go: distances count
 * from the lowest offset and the earliest instant, messages are marked by bits or by the gaps between them, whichever is
 * shorter. So there is always room to acknowledge.
 */
export function encodeState(state: QueueState): Uint8Array {
  for (;;) {
    const bytes = encode(state);
    if (bytes.length <= limits.queueStateBytesMax && state.settlements.length <= settlementsKept)
      return bytes;
    assert(state.settlements.length > 0, "the state of a queue stays below its limit");
    forgetSettlement(state);
  }
}

/** How large the state would be, notes aside: what is given out is measured before it is. */
export function stateBytes(state: QueueState): number {
  return encode({ ...state, settlements: [] }).length;
}

function forgetSettlement(state: QueueState): void {
  const oldest = state.settlements.shift();
  if (oldest !== undefined && !oldest.left)
    state.forgottenUpTo = Math.max(state.forgottenUpTo, oldest.stamp - 1);
}

function encode(state: QueueState): Uint8Array {
  const { next, generation, owner, lastStamp, deliveries, heldBack, settlements } = state;
  const writer = new ByteWriter();
  for (let byte = 0; byte < headBytes; byte++) writer.byte(byte === 0 ? formatVersion : 0);
  const base = committedOf(state);
  const soonest = deliveries.reduce(
    (least, { until }) => Math.min(least, until),
    Number.MAX_SAFE_INTEGER,
  );
  writer.byte(state.nextEndsRow ? endsRow : 0);
  for (const number of [base, next - base, generation, owner, lastStamp]) writer.varint(number);
  for (const number of [state.voidUpTo, state.forgottenUpTo]) writer.varint(number);
  writer.varint(deliveries.length);
  if (deliveries.length > 0) writer.varint(soonest);
  for (const { stamp, attempt, until, held, attemptKey, messages } of deliveries) {
    const hashes = messages.some(({ hash }) => hash !== 0);
    writer.byte(
      (held ? has.held : 0) |
        (attemptKey === undefined ? 0 : has.attemptKey) |
        (hashes ? has.hashes : 0),
    );
    for (const number of [lastStamp - stamp, attempt, until - soonest]) writer.varint(number);
    if (attemptKey !== undefined) writer.rest(fromHex(attemptKey));
    writeMessages(writer, base, messages, hashes);
  }
  writer.varint(heldBack.length);
  if (heldBack.length > 0)
    writeMessages(
      writer,
      base,
      heldBack,
      heldBack.some(({ hash }) => hash !== 0),
      true,
    );
  writer.varint(settlements.length);
  let before = 0;
  for (const { offset, stamp, left } of settlements) {
    writer.signedVarint(offset - before);
    writer.varint(2 * stamp + (left ? 1 : 0));
    before = offset;
  }
  const bytes = writer.bytes();
  writeU32(bytes, 1, crc32c(bytes, headBytes));
  return bytes;
}

/** A span of so many bytes of bits at most, beyond which gaps are surely shorter. */
const bitmapBytesMax = 512;

function writeMessages(
  writer: ByteWriter,
  base: number,
  messages: readonly OpenMessage[],
  hashes: boolean,
  marksHashes = false,
): void {
  const first = messages[0]?.offset ?? 0;
  const last = messages.at(-1)?.offset ?? 0;
  if (marksHashes) writer.byte(hashes ? 1 : 0);
  writer.varint(first - base);
  const bitmapBytes = Math.floor((last - first) / 8) + 1;
  // States are written with every change and for every look at their size, so nothing is made to find this out.
  if (bitmapBytes <= bitmapBytesMax && bitmapBytes <= gapBytes(messages)) {
    const bits = new Uint8Array(bitmapBytes);
    for (const { offset } of messages) {
      const at = offset - first;
      bits[at >> 3] = (bits[at >> 3] ?? 0) | (1 << (at & 7));
    }
    writer.varint(2 * bitmapBytes + 1);
    writer.rest(bits);
  } else {
    writer.varint(2 * messages.length);
    for (let index = 1; index < messages.length; index++) writer.varint(gapBefore(messages, index));
  }
  if (!hashes) return;
  for (const { hash } of messages) {
    writer.byte(hash >> 8);
    writer.byte(hash & 255);
  }
}

function gapBefore(messages: readonly OpenMessage[], index: number): number {
  return (messages[index]?.offset ?? 0) - (messages[index - 1]?.offset ?? 0);
}

function gapBytes(messages: readonly OpenMessage[]): number {
  let bytes = 0;
  for (let index = 1; index < messages.length; index++)
    for (let gap = gapBefore(messages, index); ; gap = Math.floor(gap / 0x80)) {
      bytes++;
      if (gap < 0x80) break;
    }
  return bytes;
}

/** Reads back what {@link encodeState} wrote. Throws `Damaged`. */
export function decodeState(value: Uint8Array): QueueState {
  const whole = value.length > headBytes && value[0] === formatVersion;
  if (!whole || readU32(value, 1) !== crc32c(value, headBytes)) throw new Damaged("queue state");
  const reader = new ByteReader(value, "state", headBytes);
  const number = () => reader.varint("number");
  const nextEndsRow = (reader.byte("flags") & endsRow) !== 0;
  const base = number();
  const next = base + number();
  const generation = number();
  const owner = number();
  const lastStamp = number();
  const voidUpTo = number();
  const forgottenUpTo = number();
  const deliveries: Delivery[] = [];
  const count = number();
  const soonest = count > 0 ? number() : 0;
  while (deliveries.length < count) {
    const flags = reader.byte("flags");
    const stamp = lastStamp - number();
    const attempt = number();
    const until = soonest + number();
    const attemptKey = (flags & has.attemptKey) === 0 ? undefined : hex(take(reader, 8));
    const messages = readMessages(reader, base, (flags & has.hashes) !== 0);
    deliveries.push({
      stamp,
      attempt,
      until,
      held: (flags & has.held) !== 0,
      attemptKey,
      messages,
    });
  }
  const heldBack = number() > 0 ? readMessages(reader, base, reader.byte("flags") === 1) : [];
  const settlements: Settlement[] = [];
  let before = 0;
  for (let left = number(); left > 0; left--) {
    before += reader.signedVarint("offset");
    const stamp = number();
    settlements.push({ offset: before, stamp: Math.floor(stamp / 2), left: stamp % 2 === 1 });
  }
  return {
    next,
    nextEndsRow,
    generation,
    owner,
    lastStamp,
    voidUpTo,
    forgottenUpTo,
    deliveries,
    heldBack,
    settlements,
  };
}

function readMessages(reader: ByteReader, base: number, hashes: boolean): OpenMessage[] {
  const first = base + reader.varint("offset");
  const form = reader.varint("count");
  const offsets: number[] = [];
  if (form % 2 === 1) {
    const bits = take(reader, (form - 1) / 2);
    bits.forEach((byte, index) => {
      for (let bit = 0; bit < 8; bit++)
        if ((byte & (1 << bit)) !== 0) offsets.push(first + 8 * index + bit);
    });
  } else {
    let offset = first;
    for (let index = 0; index < form / 2; index++) {
      if (index > 0) offset += reader.varint("gap");
      offsets.push(offset);
    }
  }
  return offsets.map((offset) => ({
    offset,
    hash: hashes ? reader.byte("hash") * 256 + reader.byte("hash") : 0,
  }));
}

function take(reader: ByteReader, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => reader.byte("bytes"));
}
