import { invalid } from "../broker/errors.ts";
import type { PlacedBatch } from "../broker/log/batch-row.ts";
import type { Message } from "../broker/log/message.ts";
import { type StoredMessage, storedMessages } from "../broker/log/stored-messages.ts";
import type { Compression } from "../broker/ports/compression.ts";
import type { OutgoingMessage } from "../broker/sending/outgoing-message.ts";
import type { Given } from "./given.ts";
import type { MessageIn } from "./schemas.ts";

/** A message from JSON. Only here are bodies decoded; the broker deals in bytes. */
export function fromJson(
  { body, bodyEncoding, ...message }: MessageIn,
  path: string,
): OutgoingMessage {
  return {
    body:
      bodyEncoding === "base64" ? fromBase64(body, `${path}.body`) : fromUtf8(body, `${path}.body`),
    ...(message as Given<typeof message>),
  };
}

/** Where batches and messages lie. */
export interface Place {
  readonly topic: string;
  readonly queue: number;
}

/** The messages of a stored batch from `fromOffset` on, as the API tells them. Throws `Damaged`. */
export async function toJson(
  placed: PlacedBatch,
  { topic, queue }: Place,
  { fromOffset, compression }: { fromOffset: number; compression: Compression },
): Promise<object[]> {
  const messages = await storedMessages(placed, { queue, compression });
  const skipped = Math.max(0, fromOffset - placed.base);
  return messages.slice(skipped).map((message) => messageToJson(message, { topic, queue }));
}

/** A message as the API tells it. */
export function messageToJson(
  { offset, storedAt, messageId, message }: StoredMessage,
  { topic, queue }: Place,
): object {
  const { body, bornAt, tag, keys, properties, messageGroup } = message;
  return {
    topic,
    queue,
    offset,
    messageId,
    ...encodedBody(body),
    tag,
    keys,
    properties,
    messageGroup,
    bornAt,
    storedAt,
  };
}

/** A message that does not lie anywhere yet. */
export function preparedToJson(
  { body, bornAt, tag, keys, properties, messageGroup }: Message,
  { queue, messageId }: { readonly queue: number; readonly messageId: string },
): object {
  return {
    queue,
    messageId,
    ...encodedBody(body),
    tag,
    keys,
    properties,
    messageGroup,
    bornAt,
  };
}

/** Text where the bytes are text, so that people can read it; base64 for everything else. */
function encodedBody(bytes: Uint8Array): { body: string; bodyEncoding: "utf8" | "base64" } {
  try {
    const body = decoder.decode(bytes);
    if (!binaryCharacters.test(body)) return { body, bodyEncoding: "utf8" };
  } catch {
    // No UTF-8.
  }
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return { body: buffer.toString("base64"), bodyEncoding: "base64" };
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: text has none of these, and JSON makes six bytes of each
const binaryCharacters = /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function fromUtf8(text: string, field: string): Uint8Array {
  if (/\p{Surrogate}/u.test(text))
    throw invalid(field, "text", "well-formed Unicode, or base64 with bodyEncoding");
  return Buffer.from(text, "utf8");
}

const base64Pattern = /^[A-Za-z0-9+/]*={0,2}$/;

function fromBase64(text: string, field: string): Uint8Array {
  const bytes = Buffer.from(text, "base64");
  if (text.length % 4 !== 0 || !base64Pattern.test(text) || bytes.toString("base64") !== text) {
    throw invalid(field, text, "base64 with padding, as bodyEncoding says");
  }
  return bytes;
}
