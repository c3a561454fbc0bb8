import { BrokerError, invalid } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Message } from "./message.ts";

/**
 * What a message must be, whichever way it came: RocketMQ's rules (its TopicValidator, GrpcValidator and
 * SendMessageActivity). Throws `invalid` with the field, as in `messages[3].tag`.
 */
export function checkMessage(message: Message, path: string): void {
  const { body, bornAt, tag, keys, messageId, messageGroup } = message;
  if (body.length === 0) throw invalid(`${path}.body`, "", "at least one byte");
  if (!(bornAt >= 0 && bornAt <= maxTime))
    throw invalid(`${path}.bornAt`, bornAt, "milliseconds since the epoch");
  let bytes = 0;
  if (tag !== undefined) {
    bytes += checkText(path, "tag", tag, limits.tagBytesMax);
    if (tag.includes("|") || tag.trim() === "")
      throw invalid(`${path}.tag`, tag, "without | and not blank");
  }
  if (messageId !== undefined) checkText(path, "messageId", messageId, limits.messageIdBytesMax);
  if (messageGroup !== undefined)
    checkText(path, "messageGroup", messageGroup, limits.messageGroupBytesMax);
  if (keys !== undefined) bytes += checkKeys(path, keys);
  if (message.properties !== undefined) bytes += checkProperties(path, message.properties);
  if (bytes > limits.propertyBytesMax) {
    throw new BrokerError(
      "message_too_large",
      `tag, keys and properties of ${path} have ${bytes} bytes`,
      {
        field: `${path}.properties`,
        limit: limits.propertyBytesMax,
        actual: bytes,
      },
    );
  }
}

/** Like the other checks it answers how many bytes of UTF-8 there are. */
function checkKeys(path: string, keys: readonly string[]): number {
  if (keys.length > limits.keysPerMessageMax) {
    throw invalid(
      `${path}.keys`,
      `${keys.length} keys`,
      `at most ${limits.keysPerMessageMax} keys`,
    );
  }
  let bytes = 0;
  for (const key of keys) {
    bytes += checkText(path, "keys", key, limits.propertyBytesMax);
    if (key.includes(" ")) throw invalid(`${path}.keys`, key, "without spaces");
  }
  return bytes;
}

function checkProperties(path: string, given: Readonly<Record<string, string>>): number {
  const properties = Object.entries(given);
  if (properties.length > limits.propertiesPerMessageMax) {
    throw invalid(
      `${path}.properties`,
      `${properties.length} properties`,
      `at most ${limits.propertiesPerMessageMax} properties`,
    );
  }
  let bytes = 0;
  for (const [name, value] of properties) {
    bytes += checkText(path, "properties", name, limits.propertyBytesMax);
    if (hasControlCharacter(value))
      throw invalid(`${path}.properties.${name}`, value, "without control characters");
    const valueBytes = utf8Length(value);
    if (!isWellFormed(value, valueBytes))
      throw invalid(`${path}.properties.${name}`, value, "well-formed Unicode");
    bytes += valueBytes;
  }
  return bytes;
}

const maxTime = 2 ** 48 - 1;

function checkText(path: string, field: string, text: string, bytesMax: number): number {
  const bytes = utf8Length(text);
  if (text === "" || bytes > bytesMax || hasControlCharacter(text)) {
    throw invalid(
      `${path}.${field}`,
      text,
      `1 to ${bytesMax} bytes of UTF-8 without control characters`,
    );
  }
  if (!isWellFormed(text, bytes)) throw invalid(`${path}.${field}`, text, "well-formed Unicode");
  return bytes;
}

/** Half a surrogate pair has no UTF-8 and would be stored as another character. `bytes` is how many it has in UTF-8. */
function isWellFormed(text: string, bytes: number): boolean {
  const asciiOnly = bytes === text.length;
  return asciiOnly || !/\p{Surrogate}/u.test(text);
}

// Every text of every message passes here, and most are short: loops are several times faster than patterns.

function hasControlCharacter(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit < 0x20 || unit === 0x7f) return true;
  }
  return false;
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) >= 0x80) return false;
  return true;
}

const encoder = new TextEncoder();

function utf8Length(text: string): number {
  return isAscii(text) ? text.length : encoder.encode(text).length;
}
