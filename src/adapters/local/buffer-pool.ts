/** A row of the usual size with its header. */
const pooledBytes = 72 * 1_024;
const pooledMax = 256;

/**
 * Memory for items on their way into the store, used again and again: to allocate some tens of kilobytes for each send
 * keeps the garbage collector busier than anything else.
 */
export class BufferPool {
  readonly #free: ArrayBuffer[] = [];

  take(length: number): Buffer {
    if (length > pooledBytes) return Buffer.allocUnsafeSlow(length);
    return Buffer.from(this.#free.pop() ?? new ArrayBuffer(pooledBytes), 0, length);
  }

  /** Nobody may read the buffer afterwards. */
  giveBack(buffer: Buffer): void {
    const { buffer: memory } = buffer;
    if (memory.byteLength !== pooledBytes || this.#free.length >= pooledMax) return;
    this.#free.push(memory as ArrayBuffer);
  }
}
