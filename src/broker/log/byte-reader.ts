import { BatchFormatError } from "./batch-format-error.ts";

/** Reads a byte array from its front and refuses what is cut short or malformed, naming the place. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  readonly #where: string;
  #at: number;

  constructor(bytes: Uint8Array, where: string, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#where = where;
    this.#at = start;
    this.#end = end;
  }

  path(field: string): string {
    return `${this.#where}.${field}`;
  }

  byte(field: string): number {
    if (this.#at >= this.#end) throw new BatchFormatError(this.path(field), "the end", "there");
    return this.#bytes[this.#at++] ?? 0;
  }

  varint(field: string): number {
    let value = 0;
    for (let scale = 1; scale < 2 ** 53; scale *= 0x80) {
      const next = this.byte(field);
      value += (next & 0x7f) * scale;
      if (next < 0x80) {
        if (value <= Number.MAX_SAFE_INTEGER && (next > 0 || scale === 1)) return value;
        break;
      }
    }
    throw new BatchFormatError(
      this.path(field),
      "bytes",
      "the shortest varint of a number below 2^53",
    );
  }

  signedVarint(field: string): number {
    const value = this.varint(field);
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** How many entries follow: 1 to `max`, for none would not be written. */
  count(field: string, max: number): number {
    const count = this.varint(field);
    if (count < 1 || count > max)
      throw new BatchFormatError(this.path(field), `${count} entries`, `1 to ${max} entries`);
    return count;
  }

  text(field: string): string {
    const length = this.varint(field);
    const start = this.#skip(field, length);
    return this.#shortAscii(start, length) ?? this.#utf8(field, start, length);
  }

  /** Most texts are short names; for them a decoder costs several times what the characters do. */
  #shortAscii(start: number, length: number): string | undefined {
    if (length > shortTextBytesMax) return undefined;
    let text = "";
    for (let at = start; at < start + length; at++) {
      const byte = this.#bytes[at] ?? 0;
      if (byte >= 0x80) return undefined;
      text += String.fromCharCode(byte);
    }
    return text;
  }

  #utf8(field: string, start: number, length: number): string {
    try {
      return decoder.decode(this.#bytes.subarray(start, start + length));
    } catch (cause) {
      // biome-ignore lint/style/useErrorCause: it is passed, in the fourth place
      throw new BatchFormatError(this.path(field), "bytes", "UTF-8", { cause });
    }
  }

  rest(): Uint8Array {
    const start = this.#at;
    this.#at = this.#end;
    return this.#bytes.subarray(start, this.#end);
  }

  /** A reader of the next so many bytes, as many as the varint in front of them says. */
  lengthPrefixed(field: string): ByteReader {
    const length = this.varint(field);
    const start = this.#skip(field, length);
    return new ByteReader(this.#bytes, field, start, start + length);
  }

  expectEnd(): void {
    const left = this.#end - this.#at;
    if (left > 0)
      throw new BatchFormatError(
        this.#where,
        `${left} more bytes`,
        "at its end behind the last message",
      );
  }

  /** Where the next `length` bytes begin; they count as read. */
  #skip(field: string, length: number): number {
    const left = this.#end - this.#at;
    if (length > left)
      throw new BatchFormatError(
        this.path(field),
        `${length} bytes`,
        `at most the ${left} bytes left`,
      );
    const start = this.#at;
    this.#at += length;
    return start;
  }
}

const shortTextBytesMax = 32;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
