import { utf8 } from "../broker/bytes.ts";
import { isBrokerError } from "../broker/errors.ts";
import type { Message as BatchMessage } from "../broker/log/message.ts";
import { checkMessage } from "../broker/log/message-rules.ts";
import { misuse } from "./options.ts";
import { TassoError } from "./tasso-error.ts";

/** A message to be sent. */
export interface Message {
  readonly topic: string;
  /** Text, which becomes UTF-8, or bytes; at least one, up to 4 MiB. */
  readonly body: string | Uint8Array;
  /** What consumers filter by. */
  readonly tag?: string;
  /** What the message is found by. */
  readonly keys?: readonly string[];
  readonly properties?: Readonly<Record<string, string>>;
  /** An id of your own; otherwise it is known by one made from its place. */
  readonly messageId?: string;
  /** Messages of one group are stored in the order in which this producer was given them. */
  readonly messageGroup?: string;
  /** The queue it has to go to; not together with a message group, which chooses one. */
  readonly queue?: number;
  /** The broker of that queue, by its name in the route. @default the first that has such a queue */
  readonly broker?: string;
  /** When it was born, by your clock. @default now */
  readonly bornAt?: number | Date;
  /** It is delivered then, and not before; at most one of the three. */
  readonly deliverAt?: number | Date;
  readonly delayMs?: number;
  /** RocketMQ's levels: 1 is 1 s, 18 is 2 h. */
  readonly delayLevel?: number;
}

/** Where a message landed. */
export interface StoredReceipt {
  readonly messageId: string;
  readonly topic: string;
  readonly queue: number;
  readonly offset: number;
  /** The broker, by its name in the route. */
  readonly broker: string;
}

/** When a message that waits is due, and what recalls it until then. */
export interface DelayedReceipt {
  readonly messageId: string;
  readonly topic: string;
  readonly deliverAt: number;
  readonly recallHandle: string;
  readonly broker: string;
}

export type Receipt = StoredReceipt | DelayedReceipt;

/**
 * A message as it goes into a batch, checked by the broker's own rules. Throws `invalid` with the field.
 *
 * @param scratch where text becomes bytes; until the next one does
 */
export function toBatchMessage(
  message: Message,
  path: string,
  now: number,
  scratch?: Uint8Array,
): BatchMessage {
  const { body, bornAt, tag, keys, properties, messageId, messageGroup } = message;
  if (typeof body === "string" && /\p{Surrogate}/u.test(body))
    throw misuse(`${path}.body`, "text", "well-formed Unicode, or bytes");
  const made: Mutable<BatchMessage> = {
    body: typeof body === "string" ? bytesOf(body, scratch) : body,
    bornAt: bornAt === undefined ? now : Number(bornAt),
  };
  if (tag !== undefined) made.tag = tag;
  if (keys !== undefined) made.keys = keys;
  if (properties !== undefined) made.properties = properties;
  if (messageId !== undefined) made.messageId = messageId;
  if (messageGroup !== undefined) made.messageGroup = messageGroup;
  try {
    checkMessage(made, path);
  } catch (error) {
    if (!isBrokerError(error)) throw error;
    const { code, details } = error;
    // biome-ignore lint/style/useErrorCause: it is passed, in the third place
    throw new TassoError(code, error.message, { details, cause: error });
  }
  return made;
}

/** A character becomes at most three bytes. */
function bytesOf(text: string, scratch: Uint8Array | undefined): Uint8Array {
  if (scratch === undefined || 3 * text.length > scratch.length) return utf8(text);
  return scratch.subarray(0, encoder.encodeInto(text, scratch).written);
}

const encoder = new TextEncoder();

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What a message counts as in the buffer: its bytes, and about what goes with it. */
export function bufferBytesOf({
  body,
  tag = "",
  keys = [],
  properties = {},
}: BatchMessage): number {
  let bytes = body.length + tag.length + besideBody;
  for (const key of keys) bytes += key.length;
  for (const name in properties) bytes += name.length + (properties[name]?.length ?? 0);
  return bytes;
}

/** The callback, places in lists, and what of the batch's own is a message's share. */
const besideBody = 64;

/** Whether it is to wait: such messages are sent as JSON, for each waits by itself. */
export function isDelayed({ deliverAt, delayMs, delayLevel }: Message): boolean {
  return deliverAt !== undefined || delayMs !== undefined || delayLevel !== undefined;
}

/** A message as the API takes it in JSON. */
export function toJson(message: Message): object {
  const { topic: _, broker: __, body, bornAt, deliverAt, ...rest } = message;
  return {
    ...rest,
    ...encodedBody(body),
    ...(bornAt === undefined ? {} : { bornAt: Number(bornAt) }),
    ...(deliverAt === undefined ? {} : { deliverAt: Number(deliverAt) }),
  };
}

function encodedBody(body: string | Uint8Array): object {
  if (typeof body === "string") return { body };
  return { body: toBase64(body), bodyEncoding: "base64" };
}

/** Characters of a call at a time: engines limit how many arguments a function takes. */
const partBytes = 8_192;

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += partBytes)
    text += String.fromCharCode(...bytes.subarray(at, at + partBytes));
  return btoa(text);
}

export function fromBase64(text: string): Uint8Array {
  const characters = atob(text);
  const bytes = new Uint8Array(characters.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = characters.charCodeAt(at);
  return bytes;
}
