import { limits } from "../limits.ts";
import { BatchFormatError } from "./batch-format-error.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";

/** A message as its producer wrote it. Where it lies is told by its batch's row. */
export interface Message {
  readonly body: Uint8Array;
  readonly bornAt: number;
  readonly tag?: string;
  readonly keys?: readonly string[];
  readonly properties?: Readonly<Record<string, string>>;
  readonly messageId?: string;
  readonly messageGroup?: string;
}

const has = { messageId: 1, tag: 2, keys: 4, properties: 8, messageGroup: 16 } as const;
const knownFlags = 31;

/** Messages one behind the other, each with its length in front so that a reader can skip what he does not want. */
export function encodeMessages(messages: readonly Message[], batchBornAt: number): Uint8Array {
  const writer = new ByteWriter();
  for (const message of messages) appendMessage(writer, message, batchBornAt);
  return writer.bytes();
}

/** Puts one message behind those of a batch: what {@link encodeMessages} does with each. */
export function appendMessage(writer: ByteWriter, message: Message, batchBornAt: number): void {
  const start = writer.beginLengthPrefixed();
  encodeMessage(writer, message, batchBornAt);
  writer.endLengthPrefixed(start);
}

function encodeMessage(writer: ByteWriter, message: Message, batchBornAt: number): void {
  const { messageId, tag, keys = [], messageGroup, body } = message;
  const properties = Object.entries(message.properties ?? {});
  writer.byte(
    (messageId === undefined ? 0 : has.messageId) |
      (tag === undefined ? 0 : has.tag) |
      (keys.length === 0 ? 0 : has.keys) |
      (properties.length === 0 ? 0 : has.properties) |
      (messageGroup === undefined ? 0 : has.messageGroup),
  );
  writer.signedVarint(message.bornAt - batchBornAt);
  if (messageId !== undefined) writer.text(messageId);
  if (tag !== undefined) writer.text(tag);
  if (keys.length > 0) {
    writer.varint(keys.length);
    for (const key of keys) writer.text(key);
  }
  if (properties.length > 0) {
    writer.varint(properties.length);
    for (const [name, value] of properties) {
      writer.text(name);
      writer.text(value);
    }
  }
  if (messageGroup !== undefined) writer.text(messageGroup);
  writer.rest(body);
}

/** Made once: every message that is sent is read under its name. */
const messageFields = Array.from(
  { length: limits.messagesPerBatchMax },
  (_, index) => `messages[${index}]`,
);

/** Reads back what {@link encodeMessages} wrote and refuses everything else, by {@link BatchFormatError}. */
export function decodeMessages(content: Uint8Array, count: number, batchBornAt: number): Message[] {
  const reader = new ByteReader(content, "batch.content");
  const messages: Message[] = [];
  for (let index = 0; index < count; index++) {
    const message = reader.lengthPrefixed(messageFields[index] ?? "messages");
    messages.push(decodeMessage(message, batchBornAt));
  }
  reader.expectEnd();
  return messages;
}

function decodeMessage(reader: ByteReader, batchBornAt: number): Message {
  const flags = reader.byte("flags");
  if (flags > knownFlags)
    throw new BatchFormatError(reader.path("flags"), flags, `0 to ${knownFlags}`);
  const bornAt = batchBornAt + reader.signedVarint("bornAt");
  // Every message that is sent passes here, so its object is made once, without spreading.
  const message: Mutable<Message> = { body: noBytes, bornAt };
  if (flags & has.messageId) message.messageId = reader.text("messageId");
  if (flags & has.tag) message.tag = reader.text("tag");
  if (flags & has.keys) message.keys = readKeys(reader);
  if (flags & has.properties) message.properties = readProperties(reader);
  if (flags & has.messageGroup) message.messageGroup = reader.text("messageGroup");
  message.body = reader.rest();
  return message;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
const noBytes = new Uint8Array(0);

function readKeys(reader: ByteReader): string[] {
  const count = reader.count("keys", limits.keysPerMessageMax);
  const keys: string[] = [];
  for (let index = 0; index < count; index++) keys.push(reader.text("keys"));
  return keys;
}

function readProperties(reader: ByteReader): Record<string, string> {
  const count = reader.count("properties", limits.propertiesPerStoredMessageMax);
  // Null prototype: a property may be called __proto__.
  const properties: Record<string, string> = Object.create(null) as Record<string, string>;
  for (let index = 0; index < count; index++) {
    const name = reader.text("properties");
    if (name in properties)
      throw new BatchFormatError(reader.path("properties"), name, "names that differ");
    properties[name] = reader.text("properties");
  }
  return properties;
}
