/** Grows a byte array from its front; the mirror of ByteReader. */
export class ByteWriter {
  #bytes: Uint8Array;
  #length: number;

  /** @param memory what it writes into as long as that is enough; what stands below `length` in it stays */
  constructor(memory: Uint8Array = new Uint8Array(256), length = 0) {
    this.#bytes = memory;
    this.#length = length;
  }

  /** All of the memory that it writes into by now. */
  get memory(): Uint8Array {
    return this.#bytes;
  }

  get length(): number {
    return this.#length;
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  /** A whole number from 0 to 2^53, seven bits a byte, lowest first. */
  varint(value: number): void {
    let left = value;
    while (left >= 0x80) {
      this.byte((left % 0x80) | 0x80);
      left = Math.floor(left / 0x80);
    }
    this.byte(left);
  }

  /** A whole number of either sign: 0, -1, 1, -2 become 0, 1, 2, 3. */
  signedVarint(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  text(value: string): void {
    // A character becomes at most three bytes of UTF-8.
    this.#reserve(5 + value.length * 3);
    const bytes = encoder.encode(value);
    this.varint(bytes.length);
    this.rest(bytes);
  }

  rest(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  beginLengthPrefixed(): number {
    return this.#length;
  }

  /** Puts the length of what was written since `start` in front of it. */
  endLengthPrefixed(start: number): void {
    const end = this.#length;
    const prefixBytes = varintBytes(end - start);
    this.#reserve(prefixBytes);
    this.#bytes.copyWithin(start + prefixBytes, start, end);
    this.#length = start;
    this.varint(end - start);
    this.#length = end + prefixBytes;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + more));
    larger.set(this.bytes());
    this.#bytes = larger;
  }
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let left = value; left >= 0x80; left = Math.floor(left / 0x80)) bytes++;
  return bytes;
}

const encoder = new TextEncoder();
