import { BrokerError, invalid } from "../errors.ts";
import { limits } from "../limits.ts";
import type { Message } from "./message.ts";

/**
 * What a message must be, whichever way it came: RocketMQ's rules (its TopicValidator, GrpcValidator and
 * SendMessageActivity). Throws `invalid` with the field, as in `messages[3].tag`.
 */
export function checkMessage(message: Message, path: string): void {
  const { body, bornAt, tag, keys = [], messageId, messageGroup } = message;
  const properties = Object.entries(message.properties ?? {});
  if (body.length === 0) throw invalid(`${path}.body`, "", "at least one byte");
  if (!(bornAt >= 0 && bornAt <= maxTime))
    throw invalid(`${path}.bornAt`, bornAt, "milliseconds since the epoch");
  if (tag !== undefined) {
    checkText(`${path}.tag`, tag, limits.tagBytesMax);
    if (tag.includes("|") || tag.trim() === "")
      throw invalid(`${path}.tag`, tag, "without | and not blank");
  }
  if (messageId !== undefined) checkText(`${path}.messageId`, messageId, limits.messageIdBytesMax);
  if (messageGroup !== undefined)
    checkText(`${path}.messageGroup`, messageGroup, limits.messageGroupBytesMax);
  if (keys.length > limits.keysPerMessageMax) {
    throw invalid(
      `${path}.keys`,
      `${keys.length} keys`,
      `at most ${limits.keysPerMessageMax} keys`,
    );
  }
  for (const key of keys) {
    checkText(`${path}.keys`, key, limits.propertyBytesMax);
    if (key.includes(" ")) throw invalid(`${path}.keys`, key, "without spaces");
  }
  if (properties.length > limits.propertiesPerMessageMax) {
    throw invalid(
      `${path}.properties`,
      `${properties.length} properties`,
      `at most ${limits.propertiesPerMessageMax} properties`,
    );
  }
  let bytes = utf8Length(tag ?? "") + keys.reduce((sum, key) => sum + utf8Length(key), 0);
  for (const [name, value] of properties) {
    checkText(`${path}.properties`, name, limits.propertyBytesMax);
    if (hasControlCharacter(value))
      throw invalid(`${path}.properties.${name}`, value, "without control characters");
    expectWellFormed(`${path}.properties.${name}`, value);
    bytes += utf8Length(name) + utf8Length(value);
  }
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

const maxTime = 2 ** 48 - 1;

function checkText(field: string, text: string, bytesMax: number): void {
  if (text === "" || utf8Length(text) > bytesMax || hasControlCharacter(text)) {
    throw invalid(field, text, `1 to ${bytesMax} bytes of UTF-8 without control characters`);
  }
  expectWellFormed(field, text);
}

/** Half a surrogate pair has no UTF-8 and would be stored as another character. */
function expectWellFormed(field: string, text: string): void {
  if (/\p{Surrogate}/u.test(text)) throw invalid(field, text, "well-formed Unicode");
}

function hasControlCharacter(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  return /[\u0000-\u001f\u007f]/.test(text);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII begins with them
const asciiOnly = /^[\u0000-\u007f]*$/;
const encoder = new TextEncoder();

function utf8Length(text: string): number {
  return asciiOnly.test(text) ? text.length : encoder.encode(text).length;
}
